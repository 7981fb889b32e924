"""Which threshold of a sweep is taken: by the user's targets, or the one that the front recommends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.errors import InputError, SwpExportError
from swp_export.sweeping.forms import DEFAULT
from swp_export.sweeping.front import knee, pareto_front

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.sweeping.point import SweepPoint


class NoThresholdError(SwpExportError):
    """No threshold that was tried meets the targets."""

    exit_code = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Targets:
    """What a model must keep to; None where nothing is asked.

    Attributes:
        flops: FLOPs that its file executes for one image, at most.
        latency: milliseconds of its fastest form, at most.
        accuracy_drop: points of accuracy below the unpruned network, at most.

    """

    flops: float | None = None
    latency: float | None = None
    accuracy_drop: float | None = None

    def any(self) -> bool:
        """Tell whether anything is asked."""
        return any(target is not None for target in dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The `threshold` that is taken, the `form` that its model is written in, and the `reason`."""

    threshold: float
    form: str
    reason: str


def choose(unpruned: SweepPoint, points: Sequence[SweepPoint], targets: Targets) -> Choice:
    """Return the threshold that meets `targets` best, or without any the one at the knee of the front.

    With a target of accuracy it is the cheapest, by latency where that was measured, else by FLOPs; with others the
    most accurate, or without labels the one whose outputs are nearest to the unpruned network's.

    Raises:
        InputError: a target is of something that was not measured.
        NoThresholdError: none meets them.

    """
    if not targets.any():
        return recommended(unpruned, points)
    if targets.accuracy_drop is not None and any(point.correct is None for point in points):
        raise InputError("--max-accuracy-drop needs --data with 'labels', or --dataset")
    if targets.latency is not None and any(point.fastest_ms is None for point in points):
        raise InputError("--target-latency needs --device")
    meeting = [point for point in points if not _missed(point, targets)]
    if not meeting:
        nearest = min(points, key=lambda point: _missed(point, targets))
        raise NoThresholdError(
            f"none of {len(points)} thresholds from {points[0].threshold:g} to {points[-1].threshold:g} meets "
            f"{_spelled(targets)}; nearest is {nearest.threshold:g}: {_of(nearest)}"
        )
    if targets.accuracy_drop is not None:
        best, how = min(meeting, key=_cost), "the fastest" if points[0].latency else "the fewest FLOPs"
    elif points[0].correct is not None:
        best, how = min(meeting, key=lambda point: (-(point.correct or 0), _cost(point))), "the most accurate"
    else:
        best, how = min(meeting, key=lambda point: (_error(point), _cost(point))), "the smallest error"
    return _choice(best, f"{how} of {len(meeting)} that meet {_spelled(targets)}")


def recommended(unpruned: SweepPoint, points: Sequence[SweepPoint]) -> Choice:
    """Return the knee of the front of cost and accuracy, or of cost and error where accuracy is not known."""
    every = [unpruned, *points]
    costs, values = [_cost(point) for point in every], [worth(point) for point in every]
    by = "latency" if points[0].latency else "FLOPs"
    against = f"{'accuracy' if points[0].correct is not None else 'error'} against {by}"
    number = knee(costs, values)
    if number:
        point, reason = every[number], f"the knee of {against}"
    else:
        front = [n for n in pareto_front(costs, values) if n] or [1]
        point, reason = every[front[-1]], f"no knee in {against}: the best of the front"
    return _choice(point, reason)


def worth(point: SweepPoint) -> float:
    """Return what the higher is the better: accuracy in percent, without labels the negative error."""
    return -_error(point) if point.correct is None else point.correct


def _choice(point: SweepPoint, reason: str) -> Choice:
    assert point.threshold is not None
    return Choice(threshold=point.threshold, form=point.fastest_form or DEFAULT, reason=reason)


def _cost(point: SweepPoint) -> float:
    return point.flops if point.fastest_ms is None else point.fastest_ms


def _error(point: SweepPoint) -> float:
    return 1e9 if point.error is None else point.error


def _missed(point: SweepPoint, targets: Targets) -> float:
    """Return by how much `point` misses `targets`, all shares added; 0 where it meets them."""
    drop = None if point.accuracy is None else point.accuracy.drop
    pairs = [(point.flops, targets.flops), (point.fastest_ms, targets.latency)]
    missed = sum(max(0.0, found / target - 1) for found, target in pairs if target and found is not None)
    if targets.accuracy_drop is not None and drop is not None:
        missed += max(0.0, drop - targets.accuracy_drop)
    return missed


def _spelled(targets: Targets) -> str:
    asked = [
        None if targets.flops is None else f"at most {targets.flops:.4g} FLOPs",
        None if targets.latency is None else f"at most {targets.latency:g} ms",
        None if targets.accuracy_drop is None else f"at most {targets.accuracy_drop:g} points of accuracy lost",
    ]
    return " and ".join(text for text in asked if text)


def _of(point: SweepPoint) -> str:
    drop = None if point.accuracy is None else point.accuracy.drop
    found = [
        f"{point.flops:,} FLOPs",
        None if point.fastest_ms is None else f"{point.fastest_ms:.3g} ms",
        None if drop is None else f"{drop:.2f} points lost",
    ]
    return ", ".join(text for text in found if text)
