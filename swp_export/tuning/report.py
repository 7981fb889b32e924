"""What `tune` found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.shown import Shown

if TYPE_CHECKING:
    from swp_export.tuning.tuned_model import TunedModel
    from swp_export.verification.accuracy import Accuracy
    from swp_export.verification.report import VerificationReport


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class TuneReport(Shown):
    """What `tune` wrote.

    Attributes:
        model: path of the tuned model.
        plan_file: path of the plan, None where none was asked for.
        threads: that it was tuned for.
        tuned: the plan, what was measured on the way, and the verification against the input model.
        accuracy: of the input model before, and of the tuned model after; None without data to measure it on, or where
            they give no classes.

    """

    model: str
    plan_file: str | None
    threads: int
    tuned: TunedModel
    accuracy: Accuracy | None = None

    @property
    def verification(self) -> VerificationReport:
        """What compared the tuned model with the input model, in float64."""
        assert self.tuned.verification is not None
        return self.tuned.verification

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export tune --json` prints."""
        tuned = self.tuned
        return {
            "command": "tune",
            "model": self.model,
            "plan_file": self.plan_file,
            "plan": tuned.plan.layers,
            "threads": tuned.threads,
            "block": tuned.plan.multiple,
            "found_on": tuned.plan.found_on,
            "candidates": [dataclasses.asdict(candidate) for candidate in tuned.candidates],
            "discarded": [dataclasses.asdict(candidate) for candidate in tuned.discarded],
            "speedup_over_input": dataclasses.asdict(tuned.over_input),
            "speedup_over_dense": dataclasses.asdict(tuned.over_dense),
            "speedup_over_rivals": {name: dataclasses.asdict(gain) for name, gain in tuned.over_rivals.items()},
            "quantised": None if tuned.quantised is None else tuned.quantised.to_json(),
            "variants": tuned.variants,
            "verification": self.verification.to_json(),
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
        }
