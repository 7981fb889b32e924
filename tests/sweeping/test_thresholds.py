"""Thresholds lie in gaps, where nothing hangs on a last digit, and each leaves other stripes live."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.errors import ThresholdError
from swp_export.sweeping.thresholds import automatic_thresholds, between


def live(values: np.ndarray, thresholds: tuple[float, ...]) -> list[int]:
    """Return how many of `values` each of `thresholds` leaves."""
    return [int((values > np.float32(threshold)).sum()) for threshold in thresholds]


def test_from_the_widest_gap_to_nearly_nothing() -> None:
    """The first keeps what training kept; the next cut few and the last ones many."""
    rng = np.random.default_rng(0)
    values = np.sort(np.concatenate([rng.uniform(0, 1e-4, 900), rng.uniform(0.1, 1, 100)])).astype(np.float32)
    thresholds = automatic_thresholds(values, 10)
    left = live(values, thresholds)
    assert left[0] == 100
    assert thresholds[0] == float(f"{thresholds[0]:.1g}")
    assert len(thresholds) == 10
    assert np.all(np.diff(left) < 0)
    assert left[1] >= 96
    assert 5 <= left[-1] <= 30


def test_a_gap_near_the_place_is_taken() -> None:
    """A threshold goes into the widest gap about its place, not beside a value."""
    values = np.sort(np.concatenate([np.linspace(0.1, 0.2, 50), np.linspace(0.6, 0.7, 50)])).astype(np.float32)
    assert any(0.2 < threshold < 0.6 for threshold in automatic_thresholds(values, 6))


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=60), st.integers(2, 12))
def test_each_threshold_changes_the_answer(found: list[float], points: int) -> None:
    """Whatever the values: thresholds rise, each leaves fewer stripes than the one before, and the last leaves some."""
    values = np.sort(np.array(found, np.float32))
    if values[0] == values[-1]:
        with pytest.raises(ThresholdError, match="are the same"):
            automatic_thresholds(values, points)
        return
    thresholds = automatic_thresholds(values, points)
    left = live(values, thresholds)
    assert 1 <= len(thresholds) <= points
    assert all(few < many for many, few in itertools.pairwise(left))
    assert left[-1] >= 1


def test_no_values() -> None:
    """Where there is nothing to threshold, that is said."""
    with pytest.raises(ThresholdError, match="all 0 values"):
        automatic_thresholds(np.empty(0, np.float32), 4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.09, 0.03), (0, 0.01, 1e-5), (0.123, 0.1234, 0.123), (0.1231, 0.1234, 0.1232), (0.5, 0.6, 0.5)],
)
def test_between(low: float, high: float, expected: float) -> None:
    """The shortest number between two values is taken; the lower one itself is one of them."""
    assert between(np.float32(low), np.float32(high)) == expected
