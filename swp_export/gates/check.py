"""The command `check`: whether models keep to their gates."""

from __future__ import annotations

import dataclasses
import platform
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swp_export.distributions import program_version
from swp_export.errors import SwpExportError
from swp_export.gates.candidate import Candidate
from swp_export.gates.gates_file import read_gates
from swp_export.gates.judges import JUDGES
from swp_export.gates.report import CheckReport, GateResult, ModelResult
from swp_export.progress import silent
from swp_export.runtime.cpu import read_cpu

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.gates.gates import GateName, Gates
    from swp_export.progress import Progress


def check(gates: str | Path, *, progress: Progress | None = None) -> CheckReport:
    """Judge every gate of every model in the file `gates`.

    A gate that is missed, or cannot be judged, hides no other one: both are the report's content.

    Args:
        gates: a TOML file, as `gates_file` has it.
        progress: called with what is being done.

    Raises:
        GatesError: the file cannot be read, or says what is not known.

    """
    started = datetime.now(UTC)
    asked = read_gates(gates)
    return CheckReport(
        gates=str(gates),
        models=tuple(_judged(of_model, progress or silent) for of_model in asked),
        version=program_version(),
        platform=platform.platform(),
        processor=read_cpu().model,
        started=started,
    )


def _judged(gates: Gates, progress: Progress) -> ModelResult:
    candidate = Candidate(gates, progress)
    results = tuple(_result(name, candidate) for name in gates.asked)
    try:
        sha256 = candidate.file.sha256
    except SwpExportError:
        sha256 = None
    return ModelResult(name=gates.name, model=str(gates.model), sha256=sha256, gates=results)


def _result(name: GateName, candidate: Candidate) -> GateResult:
    start = time.perf_counter()
    try:
        result = JUDGES[name](candidate)
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("swp_export"):
            raise
        result = _not_judged(name, f"needs the package {error.name}, which is not installed here; pip install it")
    except SwpExportError as error:
        result = _not_judged(name, str(error))
    return dataclasses.replace(result, seconds=time.perf_counter() - start)


def _not_judged(name: GateName, message: str) -> GateResult:
    return GateResult(gate=name, status="not judged", message=" ".join(message.split()))
