"""What this machine can do: versions, devices on which a session really runs, and what to install."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from typing import Any

from swp_export.errors import SwpExportError
from swp_export.runtime.cpu import Cpu, read_cpu
from swp_export.runtime.cuda import onnxruntime_distributions, why_conflict
from swp_export.runtime.target import KINDS, Target

_PROBE = """
<ir_version: 8, opset_import: ["" : 18]>
probe (float[1, 1, 4, 4] x) => (float[1, 1, 2, 2] y) <float[1, 1, 3, 3] w = {1, 1, 1, 1, 1, 1, 1, 1, 1}> {
    y = Conv (x, w)
}
"""
"""A convolution, so that on CUDA cuDNN, which is loaded late, has to work as well."""
_PROBE_RESULT = 9.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirement:
    """A package we use: `purpose` is what stops working without it, `install` what `pip install` calls it."""

    name: str
    purpose: str
    optional: bool = False
    install: str = ""


REQUIREMENTS = (
    Requirement(name="numpy", purpose="everything"),
    Requirement(name="onnx", purpose="everything"),
    Requirement(name="onnx-ir", purpose="everything"),
    Requirement(name="click", purpose="the command line"),
    Requirement(name="rich", purpose="tables and progress"),
    Requirement(name="safetensors", purpose="reading checkpoints"),
    Requirement(name="torch", purpose="train, prune, verify --against a checkpoint"),
    Requirement(name="onnxscript", purpose="prune"),
    Requirement(name="onnx-simplifier", purpose="prune"),
    Requirement(name="torchvision", purpose="training data", optional=True, install="'swp-export[train]'"),
    Requirement(name="openvino", purpose="device openvino", optional=True, install="'swp-export[openvino]'"),
)
"""All but ONNX Runtime, which comes as one of several distributions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Package:
    """A package: its installed `version`, None where it is missing, and what `purpose` needs it."""

    name: str
    version: str | None
    purpose: str
    optional: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderCheck:
    """Whether a session ran on `device`; `detail` says why not, or what it ran on."""

    device: str
    works: bool
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """What `doctor` found.

    Attributes:
        python: Version of the interpreter.
        platform: Operating system and architecture.
        packages: Everything we use, missing ones included.
        providers: One check for each device.
        cpu: The processor.
        conflicts: What is installed and must not be, each with what to do.
        advice: What to install for what is missing.

    """

    python: str
    platform: str
    packages: tuple[Package, ...]
    providers: tuple[ProviderCheck, ...]
    cpu: Cpu
    conflicts: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether all that is required is there and models run on the CPU; other devices are not required."""
        complete = all(package.optional or package.version is not None for package in self.packages)
        runs = any(check.device == "cpu" and check.works for check in self.providers)
        return complete and runs and not self.conflicts

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "healthy": self.healthy,
            "python": self.python,
            "platform": self.platform,
            "packages": [dataclasses.asdict(package) for package in self.packages],
            "providers": [dataclasses.asdict(check) for check in self.providers],
            "cpu": self.cpu.to_json(),
            "conflicts": list(self.conflicts),
            "advice": list(self.advice),
        }


def doctor() -> DoctorReport:
    """Examine this machine. Runs a convolution on each kind of device; raises nothing for what is missing."""
    runtimes = onnxruntime_distributions()
    versions = {requirement.name: installed_version(requirement.name) for requirement in REQUIREMENTS}
    packages = [
        Package(name=need.name, version=versions[need.name], purpose=need.purpose, optional=need.optional)
        for need in REQUIREMENTS
    ]
    packages += [
        Package(name=name, version=installed_version(name), purpose="running models", optional=False)
        for name in runtimes or ("onnxruntime",)
    ]
    return DoctorReport(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=tuple(packages),
        providers=tuple(check_device(kind) for kind in KINDS),
        cpu=read_cpu(),
        conflicts=tuple(filter(None, [why_conflict(runtimes)])),
        advice=(*install_advice(versions), *runtime_advice(runtimes)),
    )


def installed_version(distribution: str) -> str | None:
    """Return the version of `distribution`, or None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def install_advice(versions: dict[str, str | None]) -> tuple[str, ...]:
    """Return what to install for each of `REQUIREMENTS` whose version in `versions` is None."""
    return tuple(
        f"pip install {need.install or need.name}: {need.purpose}"
        for need in REQUIREMENTS
        if versions.get(need.name) is None
    )


def runtime_advice(runtimes: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to install where none of ONNX Runtime's distributions is."""
    if runtimes:
        return ()
    return ("pip install onnxruntime-gpu (64-bit x86 Linux and Windows) or onnxruntime (elsewhere): running models",)


def check_device(device: str) -> ProviderCheck:
    """Run a convolution on `device`, one of `KINDS`, and look at its result."""
    try:
        value, detail = _probe(device)
    except (SwpExportError, ImportError) as error:
        return ProviderCheck(device=device, works=False, detail=str(error))
    if value != _PROBE_RESULT:
        return ProviderCheck(device=device, works=False, detail=f"computed {value}, expected {_PROBE_RESULT}")
    return ProviderCheck(device=device, works=True, detail=detail)


def _probe(device: str) -> tuple[float, str]:
    import numpy as np
    import onnx.parser

    from swp_export.runtime.session import open_session, runtime_of

    target = Target(device=device)
    session = open_session(onnx.parser.parse_model(_PROBE), target)
    outputs = session.run({"x": np.ones((1, 1, 4, 4), np.float32)})
    hardware = runtime_of(target).hardware(target)
    return float(outputs["y"].mean()), session.provider if hardware is None else f"{session.provider} on {hardware}"
