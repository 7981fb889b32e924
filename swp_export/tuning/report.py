"""What `tune` found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swp_export.tuning.fastest import Fastest
    from swp_export.verification.report import VerificationReport


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneReport:
    """What `tune` wrote.

    Attributes:
        model: path of the tuned model.
        plan_file: path of the plan, None where none was asked for.
        fastest: the plan, what was measured on the way, and the verification against the input model.

    """

    model: str
    plan_file: str | None
    fastest: Fastest

    @property
    def verification(self) -> VerificationReport:
        """What compared the tuned model with the input model, in float64."""
        assert self.fastest.verification is not None
        return self.fastest.verification

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export tune --json` prints."""
        found = self.fastest
        return {
            "model": self.model,
            "plan_file": self.plan_file,
            "plan": found.plan.layers,
            "block": found.plan.block,
            "found_on": found.plan.found_on,
            "candidates": [dataclasses.asdict(candidate) for candidate in found.candidates],
            "discarded": [dataclasses.asdict(candidate) for candidate in found.discarded],
            "speedup_over_input": dataclasses.asdict(found.over_input),
            "speedup_over_dense": dataclasses.asdict(found.over_dense),
            "variants": found.variants,
            "verification": self.verification.to_json(),
        }
