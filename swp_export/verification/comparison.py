"""Comparing one output with the truth, within a budget that rounding alone explains.

For each case and channel c of an output:

    own(c)     how far the reference's own float32 run is from the truth, at its worst
    moved(c)   how far the largest of a few random roundings moves it (`rounding`)
    k          how many times as far off as rounded runs the float32 run is: one number per output, by rms
    off(c)     = max(own(c), TAIL * k * moved(c))
    usual(c)   the larger of the median of off over all channels, and of off(c) in usual cases in proportion to scale
    budget(c)  = FACTOR * max(off(c), min(LUCK * off(c), usual(c))),  at least ULPS * eps * max |truth(c)|

A model may be as wrong as the framework it came from, times a small factor: sums are taken in another order, and
BatchNorm is folded into the weights. Each case and channel has a budget of its own, so that a large logit hides
nothing of the others, and inputs of a thousand times the magnitude nothing of the usual ones. The largest of a few
errors may be small by luck; then what is usual counts, up to LUCK times. A channel is an index of axis 1 (a logit, a
map) and, of boxes that a detector gives, of the last one too; the smaller budget counts.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FACTOR = 4.0
"""How many times as far off as rounding explains a model may be; `tests.soak networks` prints what is needed."""
TAIL = 2.0
"""How many times as far as the largest of a few rounded runs some of a thousand outputs go."""
LUCK = 4.0
"""How many times smaller than usual the largest error of a channel in a case may come out by luck."""
MOST = 16.0
"""The largest k: sums of many terms round at every term. It is at least 1: PyTorch approximates better than others."""
NOT_MODELLED = 1e-6
"""Of a channel's scale: what ONNX Runtime's approximated functions may be off; its Sigmoid is by 1e-7."""
ULPS = 8
"""The least budget, in units in the last place of the channel's largest value; one of what it is in usual cases."""
EPS = float(np.finfo(np.float32).eps)
NOT_FINITE = "the reference itself gives NaN or infinite values"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tolerance:
    """An explicit tolerance in the place of the budget: |y - truth| <= atol + rtol * |truth|, element by element."""

    atol: float
    rtol: float

    def __post_init__(self) -> None:
        for name, value in (("--atol", self.atol), ("--rtol", self.rtol)):
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}, expected a finite number that is not negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaseResult:
    """The comparison of one output on one case.

    Attributes:
        case: name of the input.
        input_shape: its shape.
        output: name of the output.
        max_abs_error: |y - truth| where it is largest for its limit; infinite where y is not finite or has another
            shape.
        budget: the largest error allowed there.
        reference_error: the error of the reference's own float32 run.
        elements: elements compared.
        exceeding: how many of them are off by more than the budget.
        worst: index of that error.
        problem: what is wrong beside the size of the error (another shape, NaN), or None.
        undecided: why being within the budget proves nothing here, or None.

    """

    case: str
    input_shape: tuple[int, ...]
    output: str
    max_abs_error: float
    budget: float
    reference_error: float
    elements: int
    exceeding: int
    worst: tuple[int, ...]
    problem: str | None = None
    undecided: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the output is within its budget, or the case undecided."""
        return self.undecided is not None or self._is_within

    @property
    def _is_within(self) -> bool:
        return self.problem is None and self.exceeding == 0 and self.elements > 0

    @property
    def error_to_budget(self) -> float:
        """The error as a multiple of the budget; at most 1 iff the output is within it."""
        if self.undecided is not None:
            return 0.0
        if self.problem is not None:
            return float("inf")
        return self.max_abs_error / self.budget if self.budget > 0 else (float("inf") if self.max_abs_error else 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types; what is not finite becomes null."""
        document = dataclasses.asdict(self)
        document |= {"ok": self.ok, "error_to_budget": self.error_to_budget}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in document.items()
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """What the reference gave of one output on one case.

    Attributes:
        truth: float64 `[N, C, ...]` or `[N]`; integers where the output holds integers.
        single: the reference's own float32 run.
        moved: how far random roundings move each element of it, infinite where they make it another integer or no
            number; float64 in the shape of `truth`, or `[]` and infinite where they change that shape.

    """

    truth: np.ndarray
    single: np.ndarray
    moved: np.ndarray

    @property
    def is_exact(self) -> bool:
        """Whether the output holds no floats: then it is compared exactly."""
        return self.truth.dtype.kind != "f"

    @property
    def has_one_shape(self) -> bool:
        """Whether all runs gave the same shape."""
        return self.truth.shape == self.single.shape == self.moved.shape

    @property
    def is_finite(self) -> bool:
        """Whether the reference gives numbers, in both precisions."""
        return bool(np.isfinite(self.truth).all() and np.isfinite(self.single).all())

    @property
    def scale(self) -> float:
        """The largest size of the truth."""
        return float(np.max(np.abs(self.truth), initial=0))

    @property
    def own(self) -> np.ndarray:
        """How far the float32 run is off, element by element; 0 where both are infinite."""
        return distances(self.single.astype(np.float64), self.truth.astype(np.float64))

    @property
    def is_stable(self) -> np.ndarray:
        """Which integers no rounding changes."""
        stable: np.ndarray = (self.moved == 0) & (self.truth == self.single)
        return stable


def budgets(cases: Sequence[Runs], usual: Sequence[bool] | None = None) -> list[np.ndarray]:
    """Return the largest error allowed of each element of one output, case by case; see the module's docstring.

    Args:
        cases: what the reference gave, numbers in one shape each.
        usual: which cases say what is usual, inputs of the magnitude that the network is made for; default: all.

    """
    chosen = [runs for runs, counts in zip(cases, usual or [True] * len(cases), strict=True) if counts]
    limits: list[np.ndarray] = []
    for runs in cases:
        if runs.is_exact:
            limits.append(np.where(runs.is_stable, 0.0, np.inf))
            continue
        if not runs.is_finite:
            limits.append(np.full(runs.truth.shape, np.inf))
            continue
        # [N, boxes, values] or [N, A, H, W, values] of a detector; the last axis of a map is a place, no channel.
        axes = (1, runs.truth.ndim - 1) if runs.truth.ndim in {3, 5} else (1,)
        by_axis = [_budget(runs, chosen, axis) for axis in axes]
        limits.append(np.asarray(np.min(by_axis, axis=0)))
    return limits


def unexplained(runs: Runs, usual: Sequence[Runs]) -> float | None:
    """Return how far the reference's own float32 run is off where rounding does not explain it, or None where it does.

    A share of its channel's scale, on this case or on the `usual` ones.
    """
    own, moved = by_channel(runs.own), by_channel(runs.moved)
    scale = _largest([runs, *usual], 1, own.shape)
    lucky = np.maximum(moved, np.minimum(LUCK * moved, np.median(moved) if moved.size else 0.0))
    beyond = own > TAIL * MOST * lucky + NOT_MODELLED * scale + EPS * np.max(scale, initial=0)
    if not beyond.any():
        return None
    return float(np.max(np.divide(own, scale, out=np.full_like(own, np.inf), where=scale > 0)[beyond]))


def compare(
    runs: Runs, y: np.ndarray, limits: np.ndarray, *, case: str, output: str, input_shape: tuple[int, ...] = ()
) -> CaseResult:
    """Compare `y` with what the reference gave; `limits` holds the largest error allowed of each element."""
    truth = runs.truth
    problem = _problem(runs, y)
    largest, allowed, exceeding = float("inf"), 0.0, truth.size
    index: tuple[int, ...] = ()
    if problem is None:
        errors = np.abs(y.astype(np.float64) - truth)
        exceeding = int(np.count_nonzero(~(errors <= limits)))
        largest = 0.0
        if errors.size:
            excess = np.divide(errors, limits, out=np.where(errors > 0, np.inf, 0.0), where=limits > 0)
            index = tuple(int(i) for i in np.unravel_index(np.argmax(excess), errors.shape))
            largest, allowed = float(errors[index]), float(limits[index])
    return CaseResult(
        case=case,
        input_shape=input_shape,
        output=output,
        max_abs_error=largest,
        budget=allowed,
        reference_error=float(np.max(runs.own, initial=0)),
        elements=truth.size,
        exceeding=exceeding,
        worst=index,
        problem=problem,
    )


def distances(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how far `found` is from `truth`, element by element; of two shapes infinite, `[]`.

    It is 0 where both are the same infinity, infinite where one of them is no number, and where integers differ.
    """
    if found.shape != truth.shape:
        return np.array(np.inf)
    same = found == truth
    if truth.dtype.kind != "f":
        return np.where(same, 0.0, np.inf)
    with np.errstate(invalid="ignore"):
        off = np.abs(found.astype(np.float64) - truth)
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(off), np.inf, off)))


def limits_of(tolerance: Tolerance, runs: Runs) -> np.ndarray:
    """Return the largest error that `tolerance` allows of each element; none where the output holds no floats."""
    if runs.is_exact:
        return np.zeros(runs.truth.shape)
    return np.asarray(tolerance.atol + tolerance.rtol * np.abs(runs.truth), np.float64)


def by_channel(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the largest of `values` `[N, C, ...]` at each index of `axis`; of a vector the largest, `[1]`."""
    axes = None if values.ndim < 2 else tuple(other for other in range(values.ndim) if other != axis)
    return np.atleast_1d(np.max(values, axis=axes, initial=0)).astype(np.float64)


def _budget(runs: Runs, chosen: Sequence[Runs], axis: int) -> np.ndarray:
    """Return the largest error allowed, one for each index of `axis`, in a shape that broadcasts to the output's."""
    k = _times(chosen, axis)

    def off(of: Runs) -> np.ndarray:
        distance: np.ndarray = np.maximum(by_channel(of.own, axis), TAIL * k * by_channel(of.moved, axis))
        return distance

    here, size = off(runs), by_channel(np.abs(runs.truth), axis)
    elsewhere = [off(other) * (runs.scale / other.scale) for other in chosen if other.scale > 0]
    alike = [there for there in elsewhere if there.shape == here.shape]
    usual = np.maximum(np.median(here) if here.size else 0.0, np.max(alike, axis=0) if alike else 0.0)
    granted = np.maximum(here, np.minimum(LUCK * here, usual))
    floor = np.maximum(ULPS * EPS * size, EPS * _largest(chosen, axis, size.shape))
    allowed = np.maximum(FACTOR * granted, floor)
    rank = runs.truth.ndim
    shape = [-1 if other == axis else 1 for other in range(rank)] if rank > 1 else [1] * rank
    return np.asarray(np.broadcast_to(allowed.reshape(shape), runs.truth.shape))


def _times(cases: Sequence[Runs], axis: int) -> float:
    """Return k: how many times as far off as rounded runs the float32 runs are, by rms over channels and cases."""
    own, moved = 0.0, 0.0
    for runs in cases:
        if runs.scale > 0:
            own += float(np.mean((by_channel(runs.own, axis) / runs.scale) ** 2))
            moved += float(np.mean((by_channel(runs.moved, axis) / runs.scale) ** 2))
    return min(max((own / moved) ** 0.5, 1.0), MOST) if 0 < moved < np.inf else 1.0


def _largest(cases: Sequence[Runs], axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return the largest size of the truth at each index of `axis`, of all cases that have as many."""
    sizes = [by_channel(np.abs(runs.truth), axis) for runs in cases]
    return np.asarray(np.max([np.zeros(shape), *(size for size in sizes if size.shape == shape)], axis=0))


def _problem(runs: Runs, y: np.ndarray) -> str | None:
    truth, single = runs.truth, runs.single
    if y.shape != truth.shape:
        return f"shape {list(y.shape)} instead of {list(truth.shape)}"
    if y.dtype != single.dtype:
        return f"dtype {y.dtype} instead of {single.dtype}"
    if not runs.is_finite:
        return NOT_FINITE
    if not np.isfinite(y).all():
        return f"{np.count_nonzero(~np.isfinite(y))} of {y.size} values are NaN or infinite"
    return None
