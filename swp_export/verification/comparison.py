"""Comparing one output with the truth, within a budget that the network's own float32 error sets.

    error(y)   = max over elements of |y - truth|
    budget     = max(FACTOR * error(the reference's own float32 run), ULPS * eps * max |truth|)

A model may be as wrong as the framework it came from, times a small factor: sums are taken in another order, and
BatchNorm is folded into the weights. Where the framework happens to be exact, a few units in the last place of the
output's scale remain.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

FACTOR = 4.0
"""How many times the reference's own float32 error a model may be off."""
ULPS = 16
"""The least budget, in units in the last place of the output's largest value."""
EPS = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tolerance:
    """An explicit tolerance in the place of the budget: |y - truth| <= atol + rtol * |truth|, element by element."""

    atol: float
    rtol: float


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


def budget(truth: np.ndarray, single: np.ndarray) -> tuple[float, float]:
    """Return the budget and the reference's own float32 error, from its float64 and float32 outputs."""
    error = float(np.max(np.abs(single.astype(np.float64) - truth), initial=0))
    floor = ULPS * EPS * float(np.max(np.abs(truth), initial=0))
    return max(FACTOR * error, floor), error


def compare(
    truth: np.ndarray,
    single: np.ndarray,
    y: np.ndarray,
    *,
    case: str,
    output: str,
    tolerance: Tolerance | None = None,
    input_shape: tuple[int, ...] = (),
) -> CaseResult:
    """Compare `y` with `truth` (float64); `single` is the reference's own float32 output and sets the budget."""
    allowed, own_error = budget(truth, single)
    problem = _problem(truth, single, y)
    if problem is None:
        errors = np.abs(y.astype(np.float64) - truth)
        limits = np.full(errors.shape, allowed) if tolerance is None else _limits(tolerance, truth)
        exceeding = int(np.count_nonzero(errors > limits))
        index: tuple[int, ...] = ()
        largest = 0.0
        if errors.size:
            excess = np.divide(errors, limits, out=np.where(errors > 0, np.inf, 0.0), where=limits > 0)
            index = tuple(int(i) for i in np.unravel_index(np.argmax(excess), errors.shape))
            largest, allowed = float(errors[index]), float(limits[index])
    else:
        exceeding, index, largest = truth.size, (), float("inf")
    return CaseResult(
        case=case,
        input_shape=input_shape,
        output=output,
        max_abs_error=largest,
        budget=allowed,
        reference_error=own_error,
        elements=truth.size,
        exceeding=exceeding,
        worst=index,
        problem=problem,
    )


def _limits(tolerance: Tolerance, truth: np.ndarray) -> np.ndarray:
    return np.asarray(tolerance.atol + tolerance.rtol * np.abs(truth), np.float64)


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
