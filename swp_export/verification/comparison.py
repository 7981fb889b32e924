"""Comparing one output with the truth, within a budget that rounding alone explains.

    moved(case, c)  = how far random roundings move channel c: the largest of some runs (`rounding`)
    own(case, c)    = max |reference's own float32 run - truth|
    k(case)         = how many times as far off as the rounded runs the float32 run is, by rms; at least what that is in
                      the median case, and 1; at most MOST
    off(case, c)    = max(own(case, c), TAIL * k(case) * moved(case, c))
    usual(case, c)  = max(median over channels of off(case, .), S(case) * max over cases of off(., c) / S(.))
    budget(case, c) = max(FACTOR * max(off, min(LUCK * off, usual)), ULPS * eps * max |truth(case, c)|)

A model may be as wrong as the framework it came from, times a small factor: sums are taken in another order, and
BatchNorm is folded into the weights. Each case and channel (axis 1: a logit, or a map) has a budget of its own, so that
a large logit hides nothing of the others, and inputs of a thousand times the magnitude nothing of the usual ones. The
largest of a few errors may be small by luck; then what is usual of other channels and cases counts, up to LUCK times.
Where all of it is exact, a few units in the last place of the channel's scale S remain.
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
"""How many times as far off as rounding alone explains a model may be."""
TAIL = 2.0
"""How many times as far as the largest of a few rounded runs some of a thousand outputs go."""
LUCK = 4.0
"""How many times smaller than usual the largest error of a channel in a case may come out by luck."""
MOST = 16.0
"""How many times as far off as rounded runs a float32 run may be: sums of many terms round at every term."""
NOT_MODELLED = 1e-6
"""Of an output's scale: what an approximated function, as ONNX Runtime's Sigmoid, may add to rounding."""
ULPS = 8
"""The least budget, in units in the last place of the channel's largest value."""
EPS = float(np.finfo(np.float32).eps)


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
        undecided: why this case proves nothing either way, or None; then nothing was compared.

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
        moved: how far random roundings move each channel of it, float64 `[C]`; `[1]` where there is no axis 1.

    """

    truth: np.ndarray
    single: np.ndarray
    moved: np.ndarray

    @property
    def is_exact(self) -> bool:
        """Whether the output holds no floats: then it is compared exactly."""
        return self.truth.dtype.kind != "f"

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
        """How far the float32 run is off in each channel, `[C]`."""
        return by_channel(np.abs(self.single.astype(np.float64) - self.truth))


def budgets(cases: Sequence[Runs]) -> list[np.ndarray]:
    """Return the largest error allowed of each element of one output, case by case; see the module's docstring."""
    times = [_times(runs) for runs in cases]
    usual_times = float(np.median(times)) if times else 1.0
    off = [
        np.maximum(runs.own, TAIL * max(own_times, usual_times) * runs.moved)
        for runs, own_times in zip(cases, times, strict=True)
    ]
    limits = []
    for runs, here in zip(cases, off, strict=True):
        alike = [
            there * (runs.scale / of_other.scale)
            for of_other, there in zip(cases, off, strict=True)
            if of_other.scale > 0 and there.shape == here.shape
        ]
        usual = np.maximum(np.median(here) if here.size else 0.0, np.max(alike, axis=0) if alike else 0.0)
        granted = np.maximum(here, np.minimum(LUCK * here, usual))
        allowed = np.maximum(FACTOR * granted, ULPS * EPS * by_channel(np.abs(runs.truth)))
        if runs.is_exact:
            allowed = np.zeros_like(allowed)
        rank = runs.truth.ndim
        shape = (1, -1, *[1] * (rank - 2)) if rank > 1 else (1,) * rank
        limits.append(np.broadcast_to(allowed.reshape(shape), runs.truth.shape))
    return limits


def unexplained(runs: Runs, usual_scale: float) -> float | None:
    """Return how far the reference's own float32 run is off where rounding does not explain it, or None where it does.

    A share of the output's scale: its own on this case, or `usual_scale`, that of inputs of the usual magnitude.
    """
    scale = max(runs.scale, usual_scale)
    own = float(np.max(runs.own, initial=0))
    if own <= TAIL * MOST * float(np.max(runs.moved, initial=0)) + NOT_MODELLED * scale:
        return None
    return own / scale if scale else np.inf


def compare(
    runs: Runs, y: np.ndarray, limits: np.ndarray, *, case: str, output: str, input_shape: tuple[int, ...] = ()
) -> CaseResult:
    """Compare `y` with what the reference gave; `limits` holds the largest error allowed of each element."""
    truth, single = runs.truth, runs.single
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
        reference_error=float(np.max(np.abs(single.astype(np.float64) - truth), initial=0)),
        elements=truth.size,
        exceeding=exceeding,
        worst=index,
        problem=problem,
    )


def limits_of(tolerance: Tolerance, runs: Runs) -> np.ndarray:
    """Return the largest error that `tolerance` allows of each element; none where the output holds no floats."""
    if runs.is_exact:
        return np.zeros(runs.truth.shape)
    return np.asarray(tolerance.atol + tolerance.rtol * np.abs(runs.truth), np.float64)


def by_channel(values: np.ndarray) -> np.ndarray:
    """Return the largest of `values` `[N, C, ...]` in each channel, `[C]`; of a vector the largest, `[1]`."""
    axes = None if values.ndim < 2 else (0, *range(2, values.ndim))
    return np.atleast_1d(np.max(values, axis=axes, initial=0)).astype(np.float64)


def _times(runs: Runs) -> float:
    """Return how many times as far off as rounded runs the float32 run is, by rms over the channels."""
    rounded = float(np.sqrt(np.mean(runs.moved**2))) if runs.moved.size else 0.0
    own = float(np.sqrt(np.mean(runs.own**2))) if runs.own.size else 0.0
    return min(max(own / rounded, 1.0), MOST) if rounded > 0 else 1.0


def _problem(runs: Runs, y: np.ndarray) -> str | None:
    truth, single = runs.truth, runs.single
    if not runs.is_finite:
        return "the reference itself gives NaN or infinite values"
    if y.shape != truth.shape:
        return f"shape {list(y.shape)} instead of {list(truth.shape)}"
    if y.dtype != single.dtype:
        return f"dtype {y.dtype} instead of {single.dtype}"
    if not np.isfinite(y).all():
        return f"{np.count_nonzero(~np.isfinite(y))} of {y.size} values are NaN or infinite"
    return None
