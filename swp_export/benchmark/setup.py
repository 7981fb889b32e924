"""What all models of a benchmark share, checked before anything is measured."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from swp_export.benchmark.layer_profile import require_profile
from swp_export.benchmark.measure import INSTANCES, Schedule
from swp_export.errors import InputError
from swp_export.runtime.session import require_runtime
from swp_export.runtime.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swp_export.graph.metadata import InputShape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """Where, on what and how long models are measured; `targets` one after the other.

    Raises:
        InputError: An option does nothing on this device.
        DeviceError: The device is not there, or its kernels cannot be timed one by one for `layers`.

    """

    targets: tuple[Target, ...]
    streams: int
    input_shape: InputShape | None
    data: str | Path | None
    schedule: Schedule
    layers: bool

    def __post_init__(self) -> None:
        target = self.targets[0]
        require_runtime(target)
        if self.streams < 1:
            raise InputError(f"expected at least one stream, got {self.streams}")
        if self.streams > 1 and target.kind == "cuda":
            raise InputError("--streams are threads of the processor, a GPU runs one at a time; pass a larger --batch")
        if self.streams > 1 and any(each.threads > 1 for each in self.targets):
            raise InputError("--streams are sessions of one thread each; leave out --threads")
        if self.layers:
            require_profile(target)

    def stated(self) -> dict[str, Any]:
        """Return the conditions that the figures depend on; those of CUDA only where CUDA is used."""
        target, schedule = self.targets[0], self.schedule
        threads = list(dict.fromkeys(each.threads for each in self.targets))
        options: dict[str, Any] = {
            "threads": threads if len(threads) > 1 else threads[0],
            "min_runs": schedule.min_runs,
            "min_seconds": schedule.min_seconds,
            "warm_up_runs": schedule.warm_up_runs,
            "cold": schedule.cold,
            "instances": INSTANCES,
            "seed": schedule.seed,
            "inputs": "noise" if self.data is None else str(self.data),
        }
        if target.kind == "cuda":
            options |= {
                "tf32": target.tf32,
                "cuda_graph": target.cuda_graph,
                # Latencies taken with blocking launches are not those of deployment.
                "cuda_launch_blocking": os.environ.get("CUDA_LAUNCH_BLOCKING") == "1",
            }
        return options


def targets_of(threads: int | Sequence[int], batch: int | Sequence[int], **options: Any) -> tuple[Target, ...]:
    """Return the targets to measure on: each number of threads with each batch."""
    several = {"threads": threads, "batches": batch}
    numbers = {name: (given,) if isinstance(given, int) else tuple(given) for name, given in several.items()}
    for name, found in numbers.items():
        if not found or min(found) < 1:
            raise InputError(f"expected {name} of at least 1, got {', '.join(map(str, found)) or 'none'}")
    return tuple(
        Target(threads=count, batch=size, **options) for count in numbers["threads"] for size in numbers["batches"]
    )
