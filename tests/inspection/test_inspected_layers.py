"""From a convolution to what is said of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swp_export.inspection.layers import Convolution, dead_layer_warnings, inspected, totals_of
from swp_export.stripes import Skeleton

SHAPES = st.tuples(st.integers(0, 6), st.integers(1, 5), st.integers(1, 5))


@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.bool_, shape)))
def test_counts_agree_with_each_other(mask):
    """Shares, histogram and counts tell one story, even of a layer that lost its every filter."""
    layer = inspected(Convolution(name="conv", channels=2, skeleton=Skeleton(mask)))
    assert layer.shape == (mask.shape[0], 2, *mask.shape[1:])
    assert layer.stripes == mask.size
    assert sum(layer.stripes_per_filter) == layer.filters
    assert layer.stripes_per_filter[0] == layer.filters - layer.live_filters
    assert sum(n * count for n, count in enumerate(layer.stripes_per_filter)) == layer.live_stripes
    assert len(layer.stripes_per_filter) == mask.shape[1] * mask.shape[2] + 1
    assert np.sum(layer.live_share_per_tap) * layer.filters == pytest.approx(layer.live_stripes)


def test_one_undecided_layer_leaves_the_totals_undecided():
    """A sum over the others would look like an answer."""
    decided = Convolution(name="a", channels=1, skeleton=Skeleton(np.ones((2, 1, 1), np.bool_)))
    undecided = Convolution(name="b", channels=1, skeleton=None, magnitudes=np.ones((3, 3, 3), np.float32))
    totals = totals_of([inspected(decided), inspected(undecided)])
    assert (totals.filters, totals.stripes) == (5, 29)
    assert totals.live_filters is totals.live_stripes is None


def test_only_a_decided_layer_can_be_dead():
    """None is not zero."""
    dead = Convolution(name="dead", channels=1, skeleton=Skeleton(np.zeros((2, 3, 3), np.bool_)))
    undecided = Convolution(name="b", channels=1, skeleton=None, magnitudes=np.zeros((3, 3, 3), np.float32))
    (warning,) = dead_layer_warnings([inspected(dead), inspected(undecided)])
    assert warning.startswith("no live stripe in dead:")


def test_a_convolution_knows_or_can_decide():
    """One of skeleton and values is there."""
    with pytest.raises(ValueError, match="conv: "):
        Convolution(name="conv", channels=1, skeleton=None)


def test_a_threshold_is_compared_in_float32():
    """As torch compares it: float32(0.1) does not exceed 0.1."""
    conv = Convolution(name="c", channels=1, skeleton=None, magnitudes=np.full((1, 1, 2), 0.1, np.float32))
    assert conv.skeleton_at(0.1).live_stripes == 0
