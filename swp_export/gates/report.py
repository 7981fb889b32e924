"""What the gates found: for each model, gate by gate."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

from swp_export.errors import SwpExportError
from swp_export.shown import Shown

if TYPE_CHECKING:
    from datetime import datetime

    from swp_export.gates.gates import GateName

Status = Literal["passed", "missed", "not judged"]
SCHEMA_VERSION = 1
"""Of the JSON document; `check.schema.json` beside this file describes it. It changes when a key goes or differs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate of one model.

    Attributes:
        gate: which.
        status: "not judged" where something is missing that it needs.
        limit: what was asked for; None where it is no number.
        found: what is; None where it is no number, or was not found.
        unit: of both.
        interval: of `found`, at 95 % confidence; None where it is not measured by time.
        message: what was found, in one line.
        seconds: that it took.

    """

    gate: GateName
    status: Status
    limit: float | None = None
    found: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    message: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; what is not finite is null."""
        found = self.found if self.found is not None and math.isfinite(self.found) else None
        interval = None if self.interval is None else list(self.interval)
        return dataclasses.asdict(self) | {"found": found, "interval": interval}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model: its `name` in the file of gates, its file, the digest of that, and what its gates found."""

    name: str
    model: str
    sha256: str | None
    gates: tuple[GateResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate was judged and passed."""
        return all(gate.status == "passed" for gate in self.gates)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        gates = [gate.to_json() for gate in self.gates]
        return {"name": self.name, "model": self.model, "sha256": self.sha256, "passed": self.passed, "gates": gates}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class CheckReport(Shown):
    """What `check` found.

    Attributes:
        gates: the file of gates.
        models: one result for each model.
        version: of this program.
        platform: operating system and architecture.
        processor: what it calls itself.
        started: when, in UTC.

    """

    gates: str
    models: tuple[ModelResult, ...]
    version: str
    platform: str
    processor: str
    started: datetime

    @property
    def passed(self) -> bool:
        """Whether every gate of every model was judged and passed."""
        return all(model.passed for model in self.models)

    @property
    def exit_code(self) -> int:
        """0 where all passed, 1 where a gate was missed, else 2: some could not be judged."""
        return 0 if self.passed else 1 if self.count("missed") else 2

    def count(self, status: Status) -> int:
        """Return how many gates have `status`."""
        return sum(gate.status == status for model in self.models for gate in model.gates)

    def summary(self) -> str:
        """Return one line."""
        passing, models, gates = sum(model.passed for model in self.models), len(self.models), self.count("passed")
        text = f"{passing} of {models} models pass: " if models > 1 else f"{passing} of 1 model passes: "
        text += f"{gates} gate{'s' * (gates != 1)} passed"
        for status in ("missed", "not judged"):
            count = self.count(status)
            text += f", {count} {status}" if count else ""
        return text

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export check --json` prints."""
        return {
            "command": "check",
            "schema_version": SCHEMA_VERSION,
            "gates": self.gates,
            "passed": self.passed,
            "exit_code": self.exit_code,
            "counts": {
                "passed": self.count("passed"),
                "missed": self.count("missed"),
                "not_judged": self.count("not judged"),
            },
            "version": self.version,
            "platform": self.platform,
            "processor": self.processor,
            "started": self.started.isoformat(timespec="seconds"),
            "models": [model.to_json() for model in self.models],
        }


class GatesNotPassedError(SwpExportError):
    """A gate was missed, or could not be judged; the report has the details, and the exit code."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__(report.summary())
        self.report = report
        self.exit_code = report.exit_code
