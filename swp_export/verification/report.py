"""The outcome of a verification."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.errors import SwpExportError
from swp_export.figures import readable
from swp_export.shown import Shown

if TYPE_CHECKING:
    from swp_export.verification.accuracy import Accuracy
    from swp_export.verification.comparison import CaseResult
    from swp_export.verification.quantised import QuantisedReport


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class VerificationReport(Shown):
    """What was compared and how far apart it is.

    Attributes:
        model: what was verified.
        reference: what it was compared with.
        cases: one result per input and output; never empty.
        first_diverging_layer: where the model leaves the reference first, by the name in the checkpoint; None where
            it does not, or where the two have no layer in common.
        notes: what else has to be known of the comparison, one sentence each.
        accuracy: of the reference before, and of the model after; None without data to measure it on, or where they
            give no classes.

    """

    model: str
    reference: str
    cases: tuple[CaseResult, ...]
    first_diverging_layer: str | None = None
    notes: tuple[str, ...] = ()
    accuracy: Accuracy | None = None

    def __post_init__(self) -> None:
        if all(case.undecided for case in self.cases):
            raise ValueError("a verification that compared nothing proves nothing")

    @property
    def equivalent(self) -> bool:
        """Whether every output of every case is within its budget."""
        return all(case.ok for case in self.cases)

    @property
    def worst(self) -> CaseResult:
        """The case with the largest error for its budget."""
        return max(self.cases, key=lambda case: case.error_to_budget)

    def summary(self) -> str:
        """Return one line that says how far apart the two are, and where."""
        worst = self.worst
        where = f"output {worst.output!r} on {worst.case} {list(worst.input_shape)}"
        if worst.problem is not None:
            return f"not equivalent: {where}: {worst.problem}"
        size = (
            f"error {readable(worst.max_abs_error)}, budget {readable(worst.budget)} ({_share(worst.error_to_budget)})"
        )
        if self.equivalent:
            undecided = sum(case.undecided is not None for case in self.cases)
            decided = len(self.cases) - undecided
            text = f"equivalent on {decided} comparison{'s' if decided > 1 else ''}"
            text += f" ({undecided} more are decided by rounding)" if undecided else ""
            return f"{text}; largest for its budget: {where}: {size}"
        share = 100 * worst.exceeding / worst.elements
        text = f"not equivalent: {where}: {size} at {list(worst.worst)}, {worst.exceeding} of {worst.elements} values"
        text += f" ({share:.1f} %) are off"
        return text + (f"; first diverging layer: {self.first_diverging_layer}" if self.first_diverging_layer else "")

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export verify --json` prints."""
        worst = self.worst.to_json()
        return {
            "command": "verify",
            "model": self.model,
            "reference": self.reference,
            "equivalent": self.equivalent,
            "max_abs_error": worst["max_abs_error"],
            "budget": worst["budget"],
            "error_to_budget": worst["error_to_budget"],
            "first_diverging_layer": self.first_diverging_layer,
            "notes": list(self.notes),
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "cases": [case.to_json() for case in self.cases],
        }


def _share(of_budget: float) -> str:
    """Say which part of its budget an error is, or how many times that."""
    return f"{of_budget:.2f} of it" if of_budget < 100 else f"{readable(of_budget)} times that"


class NotEquivalentError(SwpExportError):
    """The check was made and is false: two networks do not compute the same. `report` has the details."""

    exit_code = 1

    def __init__(self, message: str, report: VerificationReport | QuantisedReport) -> None:
        super().__init__(message)
        self.report = report
