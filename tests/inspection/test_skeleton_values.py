"""What the values of Filter Skeletons say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.inspection.layers import Convolution
from swp_export.inspection.values import THRESHOLDS, skeleton_values
from swp_export.stripes import Skeleton


def convolution(values, *, decided=None):
    """Return a 1x3 layer whose |FilterSkeleton| are `values`."""
    magnitudes = np.asarray(values, np.float32).reshape(-1, 1, 3)
    skeleton = None if decided is None else Skeleton(magnitudes > decided)
    return Convolution(name="conv", channels=1, skeleton=skeleton, magnitudes=magnitudes)


@given(
    st.lists(st.floats(0, 1e4, width=32), min_size=3, max_size=60).map(lambda values: values[: len(values) // 3 * 3])
)
def test_every_value_is_counted_once(values):
    """Bins are disjoint, in order, hold what they say, and with the exact zeros they hold all."""
    found = skeleton_values([convolution(values)])
    assert found.count == len(values)
    assert found.zeros + sum(part.count for part in found.histogram) == found.count
    for left, right in zip(found.histogram, found.histogram[1:], strict=False):
        assert left.high == right.low
    assert len(found.thresholds) <= THRESHOLDS
    for row in found.thresholds:
        assert min(values) <= row.threshold < max(values)
        assert row.live_stripes == sum(np.float32(value) > np.float32(row.threshold) for value in values)


def test_thresholds_count_filters_and_dead_layers_too():
    """Over all layers; one that no threshold applies to lives at any."""
    fixed = Convolution(name="fixed", channels=1, skeleton=Skeleton(np.ones((2, 1, 1), np.bool_)))
    rows = skeleton_values([convolution([0.5, 0.2, 0, 0.2, 0, 0]), convolution([0.05, 0, 0]), fixed]).thresholds
    counts = {row.threshold: (row.live_stripes, row.live_filters, row.dead_layers) for row in rows}
    assert counts[0.03] == (3 + 1 + 2, 2 + 1 + 2, 0)
    assert counts[0.1] == (3 + 2, 2 + 2, 1)
    assert counts[0.3] == (1 + 2, 1 + 2, 1)


def test_a_decided_file_needs_no_thresholds():
    """The histogram and the gap remain."""
    found = skeleton_values([convolution([0.5, 0.2, 1e-5], decided=0.01)])
    assert found.thresholds == ()
    assert found.histogram
    assert found.gap.live_stripes == 2


def test_a_gap_may_lie_above_zero():
    """Values that are exactly zero count as the smallest that matter."""
    gap = skeleton_values([convolution([0, 0, 0.5])]).gap
    assert (gap.low, gap.high, gap.live_stripes) == (0, 0.5, 1)


@pytest.mark.parametrize("values", [[0.2, 0.3, 0.4], [1, 1, 1], [0, 0, 0], [1e-40, 1e-30, 1e-20]])
def test_no_gap_is_suggested_where_none_is_wide(values):
    """Neither between neighbours of like size, nor between values that are as good as zero."""
    assert skeleton_values([convolution(values)]).gap is None


def test_values_as_good_as_zero_share_one_bin():
    """However many decades they span."""
    first, *others = skeleton_values([convolution([1e-40, 1e-12, 1e-7])]).histogram
    assert (first.low, first.high, first.count) == (0, pytest.approx(1e-8), 2)
    assert sum(part.count for part in others) == 1


def test_layers_without_values_say_nothing():
    """The masks of a broken file hold no magnitudes."""
    assert skeleton_values([Convolution(name="c", channels=1, skeleton=Skeleton(np.ones((2, 3, 3), np.bool_)))]) is None
