"""Skeletons and stripe convolutions say what they hold, and refuse what is none."""

import numpy as np
import pytest

from swp_export.stripes import Skeleton, StripeConv


def mask(*live: tuple[int, int, int], shape: tuple[int, int, int] = (3, 2, 3)) -> np.ndarray:
    """Return a skeleton in which the stripes `live` are live."""
    array = np.zeros(shape, bool)
    for index in live:
        array[index] = True
    return array


class TestSkeleton:
    """The mask of live stripes."""

    def test_counts(self) -> None:
        """Stripes, live ones, per filter, filters and taps are counted as defined."""
        skeleton = Skeleton(mask((0, 1, 2), (0, 0, 1), (2, 0, 1)))
        assert (skeleton.filters, skeleton.kernel, skeleton.stripes) == (3, (2, 3), 18)
        assert (skeleton.live_stripes, skeleton.live_filters) == (3, 2)
        assert skeleton.stripes_per_filter.tolist() == [2, 0, 1]
        assert skeleton.live_taps == [(0, 1), (1, 2)]

    def test_nothing_live(self) -> None:
        """A skeleton may be all dead."""
        skeleton = Skeleton(mask())
        assert (skeleton.live_stripes, skeleton.live_filters, skeleton.live_taps) == (0, 0, [])

    def test_one_weight_makes_a_stripe_live(self) -> None:
        """A stripe is live where any of its weights is not exactly zero, however small, and dead at minus zero."""
        weight = np.zeros((2, 3, 2, 2), np.float32)
        weight[1, 2, 0, 1] = np.float32(1e-45)
        weight[0] = -0.0
        assert np.argwhere(Skeleton.from_weight(weight).mask).tolist() == [[1, 0, 1]]

    @pytest.mark.parametrize("wrong", [np.zeros((3, 3), bool), np.zeros((2, 3, 3), np.float32)])
    def test_refuses_another_shape_or_dtype(self, wrong: np.ndarray) -> None:
        """Anything but bool [N, K_h, K_w] is refused, with what it is."""
        with pytest.raises(ValueError, match="bool \\[N, K_h, K_w\\]"):
            Skeleton(wrong)


class TestStripeConv:
    """The convolution."""

    def test_skeleton_is_where_the_weight_is_not_zero(self) -> None:
        """The skeleton is read off the weight."""
        live = mask((1, 1, 0))
        conv = StripeConv(name="a", weight=np.ones((3, 4, 2, 3)) * live[:, None], bias=np.zeros(3))
        assert np.array_equal(conv.skeleton.mask, live)
        assert (conv.filters, conv.channels, conv.kernel) == (3, 4, (2, 3))

    @pytest.mark.parametrize(
        ("weight", "bias"), [(np.zeros((3, 4, 2)), np.zeros(3)), (np.zeros((3, 4, 2, 2)), np.zeros(4))]
    )
    def test_refuses_shapes_that_do_not_fit(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """A weight that is not 4-D, or a bias of another length, is refused with the layer's name."""
        with pytest.raises(ValueError, match="layer1: expected weight"):
            StripeConv(name="layer1", weight=weight, bias=bias)

    @pytest.mark.parametrize("wrong", [{"strides": (0, 1)}, {"dilations": (1, 0)}, {"pads": (0, -1, 0, 0)}])
    def test_refuses_a_geometry_that_is_none(self, wrong: dict[str, tuple[int, ...]]) -> None:
        """Strides and dilations below 1 and negative pads are refused."""
        with pytest.raises(ValueError, match="positive"):
            StripeConv(name="a", weight=np.zeros((1, 1, 2, 2)), bias=np.zeros(1), **wrong)
