"""What a measured time depends on besides the model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from typing import TYPE_CHECKING, Any

from swp_export.runtime.cpu import Cpu, read_cpu
from swp_export.runtime.session import runtime_of

if TYPE_CHECKING:
    from swp_export.runtime.target import Target

_PACKAGES = ("swp-export", "onnx", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and the conditions of a measurement.

    Attributes:
        versions: Of Python and of the installed packages that matter.
        platform: Operating system and architecture.
        cpu: The processor.
        gpu: Name of the device, None on the CPU.
        clock: Source and resolution, in seconds, of `time.perf_counter_ns`.
        options: What was asked for: threads, cold, seed, tf32, ...

    """

    versions: dict[str, str]
    platform: str
    cpu: Cpu
    gpu: str | None
    clock: dict[str, str | float]
    options: dict[str, Any]

    @property
    def runtime(self) -> str:
        """Names and versions of the packages that ran the models."""
        others = {"python", *_PACKAGES}
        return ", ".join(f"{name} {version}" for name, version in self.versions.items() if name not in others)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "versions": dict(self.versions),
            "platform": self.platform,
            "cpu": self.cpu.to_json(),
            "gpu": self.gpu,
            "clock": dict(self.clock),
            **self.options,
        }


def read_environment(target: Target, options: dict[str, Any]) -> Environment:
    """Return this machine's environment, as far as it matters to `target`, and `options`."""
    runtime = runtime_of(target)
    clock = time.get_clock_info("perf_counter")
    return Environment(
        versions={"python": platform.python_version(), **installed((*_PACKAGES, *runtime.packages))},
        platform=platform.platform(),
        cpu=read_cpu(),
        gpu=runtime.hardware(target),
        clock={"source": clock.implementation, "resolution": clock.resolution},
        options=options,
    )


def installed(distributions: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those of `distributions` that are installed."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
