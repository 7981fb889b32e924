"""Targets pick a threshold, or say that none meets them; without any the front recommends one."""

from __future__ import annotations

import pytest
from sweep_points import point

from swp_export.errors import InputError
from swp_export.sweeping.choice import NoThresholdError, Targets, choose, recommended

UNPRUNED = point(None, 1000, right=95)
POINTS = [point(0.01, 500, right=95), point(0.1, 300, right=94), point(0.2, 200, right=80), point(0.3, 50, right=20)]


def test_the_cheapest_that_is_accurate_enough() -> None:
    """With a largest drop the fewest FLOPs are taken, or where latency was measured the fastest."""
    choice = choose(UNPRUNED, POINTS, Targets(accuracy_drop=1))
    assert choice.threshold == 0.1
    assert choice.reason == "the fewest FLOPs of 2 that meet at most 1 points of accuracy lost"
    timed = [point(0.01, 500, right=95, ms=1), point(0.1, 300, right=94, ms=2)]
    assert choose(UNPRUNED, timed, Targets(accuracy_drop=1)).threshold == 0.01


def test_the_most_accurate_that_is_cheap_enough() -> None:
    """With a target of FLOPs or latency the most accurate is taken; without labels the nearest to the unpruned one."""
    assert choose(UNPRUNED, POINTS, Targets(flops=300)).threshold == 0.1
    timed = [point(0.01, 500, right=95, ms=3), point(0.1, 300, right=94, ms=2), point(0.2, 200, right=80, ms=1)]
    assert choose(UNPRUNED, timed, Targets(latency=2.5)).threshold == 0.1
    unlabelled = [point(0.01, 500, error=0.1), point(0.1, 300, error=0.3), point(0.2, 200, error=0.2)]
    choice = choose(point(None, 1000), unlabelled, Targets(flops=300))
    assert (choice.threshold, choice.reason) == (0.2, "the smallest error of 2 that meet at most 300 FLOPs")


def test_none_meets_them() -> None:
    """It is an error with exit code 1 that names the nearest."""
    with pytest.raises(NoThresholdError, match=r"none of 4 thresholds .* meets at most 10 FLOPs") as caught:
        choose(UNPRUNED, POINTS, Targets(flops=10))
    assert "nearest is 0.3: 50 FLOPs, 75.00 points lost" in str(caught.value)
    assert caught.value.exit_code == 1
    with pytest.raises(NoThresholdError, match="at most 400 FLOPs and at most -1 points"):
        choose(UNPRUNED, POINTS, Targets(flops=400, accuracy_drop=-1))


def test_targets_of_what_was_not_measured() -> None:
    """They are refused, with what to pass."""
    with pytest.raises(InputError, match="--device"):
        choose(UNPRUNED, POINTS, Targets(latency=1))
    with pytest.raises(InputError, match="'labels'"):
        choose(point(None, 1000), [point(0.1, 500)], Targets(accuracy_drop=1))


def test_recommended() -> None:
    """It is the knee, or without one the best of the front that is pruned."""
    assert recommended(UNPRUNED, POINTS).threshold == 0.1
    assert recommended(UNPRUNED, POINTS).reason == "the knee of accuracy against FLOPs"
    assert recommended(UNPRUNED, POINTS[:1]).threshold == 0.01
    assert "error against FLOPs" in recommended(point(None, 1000), [point(0.1, 500, error=0.5)]).reason
