"""From a stripe-wise pruned PyTorch checkpoint to a small, verified, fast ONNX model.

Each command of the program is one function here, with the same name and options, that returns a frozen dataclass whose
`to_json()` is the document that the command prints with `--json`.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swp_export.benchmark.benchmark import bench
    from swp_export.inspection.inspect import inspect
    from swp_export.page.page import report
    from swp_export.pruning.prune import prune
    from swp_export.runtime.doctor import doctor
    from swp_export.sweeping.sweep import sweep
    from swp_export.training.train import train
    from swp_export.tuning.tune import tune
    from swp_export.verification.verify_file import verify

# ONNX Runtime 1.31 writes telemetry below the cache folder and sends it, unless this is set before its first import.
# Whoever sets it, to 0 too, is left alone. Subprocesses inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["bench", "doctor", "inspect", "prune", "report", "sweep", "train", "tune", "verify"]

_MODULES = {
    "bench": "swp_export.benchmark.benchmark",
    "doctor": "swp_export.runtime.doctor",
    "inspect": "swp_export.inspection.inspect",
    "prune": "swp_export.pruning.prune",
    "report": "swp_export.page.page",
    "sweep": "swp_export.sweeping.sweep",
    "train": "swp_export.training.train",
    "tune": "swp_export.tuning.tune",
    "verify": "swp_export.verification.verify_file",
}


def __getattr__(name: str) -> object:
    """Import a command when it is first used: torch and onnxruntime take seconds, and not every command needs both."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
