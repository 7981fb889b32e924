"""From a stripe-wise pruned PyTorch checkpoint to a small, verified, fast ONNX model.

Each command of the program is one function here, with the same name and options, that returns a frozen dataclass whose
`to_json()` is the document that the command prints with `--json`, and which `print` and a notebook show as its tables.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from swp_export import shown

if TYPE_CHECKING:
    from types import ModuleType

    from swp_export import nn
    from swp_export.benchmark.benchmark import bench
    from swp_export.benchmark.report import BenchReport
    from swp_export.errors import (
        ArchitectureError,
        CheckpointError,
        DeviceError,
        InputError,
        LoweringError,
        ModelError,
        OutputError,
        SwpExportError,
        ThresholdError,
        TrainingError,
        UnprovableError,
    )
    from swp_export.gates.check import check
    from swp_export.gates.report import CheckReport
    from swp_export.inspection.inspect import inspect
    from swp_export.inspection.report import InspectReport
    from swp_export.page.page import report
    from swp_export.pruning.prune import prune
    from swp_export.pruning.report import PruneReport
    from swp_export.runtime.doctor import DoctorReport, doctor
    from swp_export.sweeping.choice import NoThresholdError
    from swp_export.sweeping.report import SweepReport
    from swp_export.sweeping.sweep import sweep
    from swp_export.training.log import TrainingLog
    from swp_export.training.report import TrainReport
    from swp_export.training.train import train
    from swp_export.tuning.report import TuneReport
    from swp_export.tuning.tune import tune
    from swp_export.verification.quantised import QuantisedReport
    from swp_export.verification.report import NotEquivalentError, VerificationReport
    from swp_export.verification.verify_file import verify

    __version__: str

# ONNX Runtime 1.31 writes telemetry below the cache folder and sends it, unless this is set before its first import.
# Whoever sets it, to 0 too, is left alone. Subprocesses inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "ArchitectureError",
    "BenchReport",
    "CheckReport",
    "CheckpointError",
    "DeviceError",
    "DoctorReport",
    "InputError",
    "InspectReport",
    "LoweringError",
    "ModelError",
    "NoThresholdError",
    "NotEquivalentError",
    "OutputError",
    "PruneReport",
    "QuantisedReport",
    "SweepReport",
    "SwpExportError",
    "ThresholdError",
    "TrainReport",
    "TrainingError",
    "TrainingLog",
    "TuneReport",
    "UnprovableError",
    "VerificationReport",
    "__version__",
    "bench",
    "check",
    "doctor",
    "inspect",
    "nn",
    "prune",
    "report",
    "sweep",
    "train",
    "tune",
    "verify",
]

_MODULES = {
    "bench": "swp_export.benchmark.benchmark",
    "BenchReport": "swp_export.benchmark.report",
    "check": "swp_export.gates.check",
    "CheckReport": "swp_export.gates.report",
    "doctor": "swp_export.runtime.doctor",
    "DoctorReport": "swp_export.runtime.doctor",
    "inspect": "swp_export.inspection.inspect",
    "InspectReport": "swp_export.inspection.report",
    "NoThresholdError": "swp_export.sweeping.choice",
    "NotEquivalentError": "swp_export.verification.report",
    "prune": "swp_export.pruning.prune",
    "PruneReport": "swp_export.pruning.report",
    "report": "swp_export.page.page",
    "sweep": "swp_export.sweeping.sweep",
    "QuantisedReport": "swp_export.verification.quantised",
    "SweepReport": "swp_export.sweeping.report",
    "train": "swp_export.training.train",
    "TrainingLog": "swp_export.training.log",
    "TrainReport": "swp_export.training.report",
    "tune": "swp_export.tuning.tune",
    "TuneReport": "swp_export.tuning.report",
    "VerificationReport": "swp_export.verification.report",
    "verify": "swp_export.verification.verify_file",
}
"""Where each name is; all other errors are in `swp_export.errors`."""


def __getattr__(name: str) -> object:
    """Import a name when it is first used: torch and onnxruntime take seconds, and not every command needs both."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        return version("swp-export")
    if name == "nn":
        return importlib.import_module("swp_export.nn")
    return getattr(importlib.import_module(_MODULES.get(name, "swp_export.errors")), name)


def __dir__() -> list[str]:
    """Return what is meant for users, whether or not it was imported yet."""
    return sorted(__all__)


def _shower() -> ModuleType:
    return importlib.import_module("swp_export.command_line.shown_reports")


shown.show_with(_shower)
