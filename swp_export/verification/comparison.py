"""Comparing one output with the truth, within a budget that the network's own float32 error sets.

    S(case)         = max |truth(case)|
    error(c)        = max over cases and elements of channel c of |reference's own float32 run - truth| / S(case)
    own(c)          = max(error(c), min(LUCK * error(c), 90 % quantile over channels of error))
    budget(case, c) = max(FACTOR * own(c) * S(case), ULPS * eps * max |truth(case, c)|)

A model may be as wrong as the framework it came from, times a small factor: sums are taken in another order, and
BatchNorm is folded into the weights. Each channel (axis 1: a logit, or a map) has a budget of its own, so that a large
one hides nothing of the others. Its error is taken over all cases, since on a single number a float32 run may be exact
by luck. Of a thousand logits some are lucky in every case: where there are MANY channels, one is granted what is usual
of the others, but no more than LUCK times its own. Where it is exact, a few units in the last place of the channel's
scale remain.
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
"""How many times the reference's own float32 error a model may be off."""
LUCK = 4
"""How much smaller than its size a channel's error may come out in all cases, of MANY channels."""
MANY = 64
ULPS = 16
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

    @property
    def ok(self) -> bool:
        """Whether the output is within its budget."""
        return self.problem is None and self.exceeding == 0 and self.elements > 0

    @property
    def error_to_budget(self) -> float:
        """The error as a multiple of the budget; at most 1 iff the output is within it."""
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


def budgets(truths: Sequence[np.ndarray], singles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the largest error allowed of each element, one array per case.

    Args:
        truths: an output in float64, `[N, C, ...]` or `[N]`, case by case.
        singles: the reference's own float32 outputs of the same cases.

    """
    scales = [float(np.max(np.abs(truth), initial=0)) for truth in truths]
    own = _own_errors(truths, singles, scales)
    limits = []
    for truth, scale in zip(truths, scales, strict=True):
        allowed = np.maximum(FACTOR * own * scale, ULPS * EPS * _by_channel(np.abs(truth)))
        rank = truth.ndim
        limits.append(np.broadcast_to(allowed.reshape(1, -1, *[1] * (rank - 2)) if rank > 1 else allowed, truth.shape))
    return limits


def compare(
    truth: np.ndarray,
    single: np.ndarray,
    y: np.ndarray,
    *,
    case: str,
    output: str,
    limits: np.ndarray | None = None,
    input_shape: tuple[int, ...] = (),
) -> CaseResult:
    """Compare `y` with `truth` (float64) and its own float32 run `single`.

    `limits` holds the largest error allowed of each element; default: the budget that this case alone gives.
    """
    problem = _problem(truth, single, y)
    largest, allowed, exceeding = float("inf"), 0.0, truth.size
    index: tuple[int, ...] = ()
    if problem is None:
        errors = np.abs(y.astype(np.float64) - truth)
        limits = budgets([truth], [single])[0] if limits is None else limits
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


def limits_of(tolerance: Tolerance, truth: np.ndarray) -> np.ndarray:
    """Return the largest error that `tolerance` allows of each element."""
    return np.asarray(tolerance.atol + tolerance.rtol * np.abs(truth), np.float64)


def _own_errors(truths: Sequence[np.ndarray], singles: Sequence[np.ndarray], scales: Sequence[float]) -> np.ndarray:
    """Return what the reference's float32 run is off in each channel, `[C]`, for cases scaled to 1."""
    cases = [case for case in zip(truths, singles, scales, strict=True) if case[2] > 0 and np.isfinite(case[2])]
    if not cases:
        return np.zeros(1)
    errors = np.max([_by_channel(np.abs(single - truth)) / scale for truth, single, scale in cases], axis=0)
    usual = np.quantile(errors, 0.9) if errors.size >= MANY else 0.0
    own: np.ndarray = np.maximum(errors, np.minimum(LUCK * errors, usual))
    return own


def _by_channel(values: np.ndarray) -> np.ndarray:
    """Return the largest of `values` `[N, C, ...]` in each channel, `[C]`; of a vector the largest, `[1]`."""
    axes = None if values.ndim < 2 else (0, *range(2, values.ndim))
    return np.atleast_1d(np.max(values, axis=axes, initial=0))


def _problem(truth: np.ndarray, single: np.ndarray, y: np.ndarray) -> str | None:
    if not np.isfinite(truth).all() or not np.isfinite(single).all():
        return "the reference itself gives NaN or infinite values"
    if y.shape != truth.shape:
        return f"shape {list(y.shape)} instead of {list(truth.shape)}"
    if y.dtype != single.dtype:
        return f"dtype {y.dtype} instead of {single.dtype}"
    if not np.isfinite(y).all():
        return f"{np.count_nonzero(~np.isfinite(y))} of {y.size} values are NaN or infinite"
    return None
