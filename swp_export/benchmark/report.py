"""What a benchmark found, as the command line prints it and as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.benchmark.statistics import Speedup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.benchmark.accuracies import ModelAccuracy
    from swp_export.benchmark.environment import Environment
    from swp_export.benchmark.layer_profile import LayerTime
    from swp_export.benchmark.statistics import Instances, Latency
    from swp_export.runtime.target import Target

_DIGITS = 6
"""Of a run in milliseconds: a nanosecond."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """Median milliseconds of one copy of the inputs to the device, and of the outputs from it."""

    to_device_ms: float
    from_device_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model on one target.

    Attributes:
        model: The file, as it was given.
        sha256: Hexadecimal digest of the file.
        target: Where and how it ran.
        streams: So many sessions of it ran at once.
        shape: Of the input, batch included, or of each of several by name.
        latency: Of a run, without transfers.
        images_per_second: What all streams finished.
        samples: Seconds of each run: for each loaded instance, for each round.
        transfer: On CUDA; None on the CPU, which has none.
        layers: Where the time goes, if that was asked for.
        placement: On CUDA, how many nodes of each operator each execution provider got; shape arithmetic is on the CPU.

    """

    model: str
    sha256: str
    target: Target
    streams: int
    shape: tuple[int, ...] | dict[str, tuple[int, ...]]
    latency: Latency
    images_per_second: float
    samples: Instances = dataclasses.field(repr=False, compare=False)
    transfer: Transfer | None = None
    layers: tuple[LayerTime, ...] | None = None
    placement: Mapping[str, Mapping[str, int]] | None = None

    def to_json(self, *, samples: bool = False) -> dict[str, Any]:
        """Return the JSON object; `transfer`, `placement` and `layers` only where there are any, `samples` if asked."""
        document: dict[str, Any] = {
            "model": self.model,
            "sha256": self.sha256,
            "batch": self.target.batch,
            "threads": self.target.threads,
            "streams": self.streams,
            "shape": _listed(self.shape),
            **dataclasses.asdict(self.latency),
            "images_per_second": self.images_per_second,
        }
        if self.transfer is not None:
            document["transfer"] = dataclasses.asdict(self.transfer)
        if self.placement is not None:
            document["placement"] = {provider: dict(operators) for provider, operators in self.placement.items()}
        if self.layers is not None:
            document["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        if samples:
            document["samples_ms"] = [
                [[round(1e3 * float(seconds), _DIGITS) for seconds in times] for times in rounds]
                for rounds in self.samples
            ]
        return document


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(Speedup):
    """The speedup of a model over the baseline on one target; of several streams that of their throughput."""

    model: str
    baseline: str
    batch: int
    threads: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return dataclasses.asdict(self) | {"verdict": self.verdict}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchReport:
    """A benchmark.

    Attributes:
        targets: Where and how the models ran, in the order in which they did: of one device, in everything but threads
            and batch.
        streams: So many sessions of each model ran at once.
        provider: What really ran them, as its runtime calls it.
        models: The baseline first, for each target.
        ratios: Every other model against the baseline, for each target.
        remarks: What else has to be known of the figures, one sentence each.
        environment: Everything else the figures depend on.
        accuracies: What each model gets right, the baseline first; empty without data, or classes.

    """

    targets: tuple[Target, ...]
    streams: int
    provider: str
    models: tuple[ModelResult, ...]
    ratios: tuple[Comparison, ...]
    remarks: tuple[str, ...]
    environment: Environment
    accuracies: tuple[ModelAccuracy, ...] = ()

    def to_json(self, *, samples: bool = False) -> dict[str, Any]:
        """Return the JSON document, with every single run if `samples`.

        `threads` and `batch` are a number each, or a list where several were asked for.
        """
        return {
            "command": "bench",
            "device": self.targets[0].device,
            "provider": self.provider,
            "threads": _one_or_all([target.threads for target in self.targets]),
            "batch": _one_or_all([target.batch for target in self.targets]),
            "streams": self.streams,
            "models": [result.to_json(samples=samples) for result in self.models],
            "ratios": [comparison.to_json() for comparison in self.ratios],
            "accuracies": [each.to_json() for each in self.accuracies],
            "remarks": list(self.remarks),
            "environment": self.environment.to_json(),
        }


def _one_or_all(numbers: Sequence[int]) -> int | list[int]:
    unique = list(dict.fromkeys(numbers))
    return unique[0] if len(unique) == 1 else unique


def _listed(shape: tuple[int, ...] | dict[str, tuple[int, ...]]) -> list[int] | dict[str, list[int]]:
    return list(shape) if isinstance(shape, tuple) else {name: list(sizes) for name, sizes in shape.items()}
