"""What a benchmark found, as the command line prints it and as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.benchmark.statistics import Speedup

if TYPE_CHECKING:
    from swp_export.benchmark.environment import Environment
    from swp_export.benchmark.layer_profile import LayerTime
    from swp_export.benchmark.statistics import Latency
    from swp_export.runtime.session import Device


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """Median milliseconds of one copy of the inputs to the device, and of the outputs from it."""

    to_device_ms: float
    from_device_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model at one batch.

    Attributes:
        model: The file, as it was given.
        sha256: Hexadecimal digest of the file.
        batch: Samples per run.
        shape: Of the input, batch included.
        latency: Of a run, without transfers.
        transfer: On CUDA; None on the CPU, which has none.
        layers: Where the time goes, if that was asked for.

    """

    model: str
    sha256: str
    batch: int
    shape: tuple[int, ...]
    latency: Latency
    transfer: Transfer | None
    layers: tuple[LayerTime, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; `transfer` and `layers` only where there are any."""
        document: dict[str, Any] = {
            "model": self.model,
            "sha256": self.sha256,
            "batch": self.batch,
            "shape": list(self.shape),
            **dataclasses.asdict(self.latency),
        }
        if self.transfer is not None:
            document["transfer"] = dataclasses.asdict(self.transfer)
        if self.layers is not None:
            document["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        return document


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Speedup):
    """The speedup of a model over the baseline at one batch."""

    model: str
    baseline: str
    batch: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return dataclasses.asdict(self) | {"verdict": self.verdict}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchReport:
    """A benchmark.

    Attributes:
        device: The device that was asked for.
        provider: ONNX Runtime's execution provider that was really used.
        threads: Threads within an operator.
        batches: What was measured, in the order it was asked for.
        models: The baseline first, for each batch.
        ratios: Every other model against the baseline, for each batch.
        environment: Everything else the figures depend on.

    """

    device: Device
    provider: str
    threads: int
    batches: tuple[int, ...]
    models: tuple[ModelResult, ...]
    ratios: tuple[Comparison, ...]
    environment: Environment

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document; `batch` is a number, or a list where several were asked for."""
        return {
            "command": "bench",
            "device": self.device,
            "provider": self.provider,
            "threads": self.threads,
            "batch": self.batches[0] if len(self.batches) == 1 else list(self.batches),
            "models": [result.to_json() for result in self.models],
            "ratios": [comparison.to_json() for comparison in self.ratios],
            "environment": self.environment.to_json(),
        }
