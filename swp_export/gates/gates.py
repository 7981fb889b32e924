"""What one model must keep to, and on what that is judged."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.graph.metadata import InputShape

GateName = Literal[
    "device", "size", "parameters", "FLOPs", "equivalence", "accuracy", "accuracy drop", "speedup", "latency"
]

ASKED_BY: dict[GateName, str] = {
    "device": "device",
    "size": "max_bytes",
    "parameters": "max_params",
    "FLOPs": "max_flops",
    "equivalence": "against",
    "accuracy": "min_accuracy",
    "accuracy drop": "max_accuracy_drop",
    "speedup": "min_speedup",
    "latency": "max_latency_ms",
}
"""The key that asks for each gate, in the order in which they are judged: what is cheap comes first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gates:
    """The gates of one model; what is None is not asked for.

    Attributes:
        name: what reports call the model.
        model: the ONNX file.
        device: where it runs, "cpu", "cuda", "cuda:1" or "openvino"; that it is there is a gate of its own.
        threads: see `bench`.
        batch: see `bench`.
        seconds: see `bench`.
        input_shape: see `verify`.
        against: the checkpoint or model that it must be equivalent to.
        threshold: see `verify`.
        arch: see `verify`.
        atol: see `verify`.
        rtol: see `verify`.
        data: see `verify`; with labels, accuracy is measured on it.
        dataset: see `verify`.
        data_path: see `verify`.
        baseline: the ONNX file that speedup and loss of accuracy are measured against; without, the latter is
            measured against `against`.
        max_bytes: of the file, and of those beside it that hold its weights.
        max_params: numbers that the file stores.
        max_flops: per image, that it executes: two for a multiply-add.
        min_accuracy: percent that is right.
        max_accuracy_drop: points of percent.
        min_speedup: over the baseline, of which the confidence interval must not reach below.
        max_latency_ms: the median of a run.

    """

    name: str
    model: Path
    device: str | None = None
    threads: int = 1
    batch: int = 1
    seconds: float = 1.0
    input_shape: InputShape | None = None
    against: Path | None = None
    threshold: float | None = None
    arch: str | None = None
    atol: float | None = None
    rtol: float | None = None
    data: Path | None = None
    dataset: str | None = None
    data_path: Path | None = None
    baseline: Path | None = None
    max_bytes: int | None = None
    max_params: int | None = None
    max_flops: int | None = None
    min_accuracy: float | None = None
    max_accuracy_drop: float | None = None
    min_speedup: float | None = None
    max_latency_ms: float | None = None

    @property
    def asked(self) -> tuple[GateName, ...]:
        """The gates that are asked for, in the order in which they are judged."""
        return tuple(name for name, key in ASKED_BY.items() if getattr(self, key) is not None)

    @property
    def measures_time(self) -> bool:
        """Whether times are measured."""
        return self.min_speedup is not None or self.max_latency_ms is not None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(path for path in (self.model, self.against, self.baseline, self.data) if path is not None)
