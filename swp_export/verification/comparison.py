"""Comparing one output with the truth, within a budget or a tolerance."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError

if TYPE_CHECKING:
    from swp_export.verification.runs import Runs

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


def compare(
    runs: Runs, y: np.ndarray, limits: np.ndarray, *, case: str, output: str, input_shape: tuple[int, ...] = ()
) -> CaseResult:
    """Compare `y` with what the reference gave; `limits` holds the largest error allowed of each element.

    Elements that are left out may be anything but no number.
    """
    truth = runs.truth
    if runs.left_out is not None and y.shape == truth.shape and not np.isnan(y[runs.left_out]).any():
        y = np.where(runs.left_out, y.dtype.type(0), y)
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
        elements=truth.size - (0 if runs.left_out is None else int(np.count_nonzero(runs.left_out))),
        exceeding=exceeding,
        worst=index,
        problem=problem,
    )


def limits_of(tolerance: Tolerance, runs: Runs) -> np.ndarray:
    """Return the largest error that `tolerance` allows of each element; none where the output holds no floats."""
    if runs.is_exact:
        return np.zeros(runs.truth.shape)
    return np.asarray(tolerance.atol + tolerance.rtol * np.abs(runs.truth), np.float64)


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
