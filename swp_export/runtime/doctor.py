"""What this machine can do: versions, devices on which a session really runs, and what to install."""

from __future__ import annotations

import dataclasses
import platform
from typing import Any

from swp_export.distributions import (
    DISTRIBUTIONS,
    Distribution,
    installed_distributions,
    installed_version,
    overwriting,
)
from swp_export.errors import SwpExportError
from swp_export.runtime.cpu import Cpu, read_cpu
from swp_export.runtime.cuda import onnxruntime_distributions, why_conflict
from swp_export.runtime.target import KINDS, Target
from swp_export.shown import Shown

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
    """A package we use: `purpose` is what stops working without it, `extra` what brings it, if something does."""

    name: str
    purpose: str
    optional: bool = False
    extra: str = ""

    def extra_of(self, machine: Distribution) -> str:
        """Return what `pip install` calls the extra of the distribution that `machine` has; empty without one."""
        return f"'{machine.name}[{self.extra}]'" if self.extra else ""


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
    Requirement(name="torchvision", purpose="training data", optional=True, extra="train"),
    Requirement(name="openvino", purpose="device openvino", optional=True, extra="openvino"),
)
"""All but ONNX Runtime, which comes as one of several distributions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Package:
    """A package: its installed `version`, None where it is missing, and what `purpose` needs it.

    `wanted` is False of what a machine for this purpose goes without.
    """

    name: str
    version: str | None
    purpose: str
    optional: bool
    wanted: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderCheck:
    """Whether a session ran on `device`; `detail` says why not, or what it ran on."""

    device: str
    works: bool
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class DoctorReport(Shown):
    """What `doctor` found.

    Attributes:
        distribution: as which the program is installed; None where it runs without being installed.
        machine: what a machine with this distribution is for.
        python: Version of the interpreter.
        platform: Operating system and architecture.
        packages: Everything we use, missing ones included.
        providers: One check for each device.
        cpu: The processor.
        conflicts: What is installed and must not be, each with what to do.
        advice: What to install for what is missing.

    """

    distribution: str | None
    machine: str
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
            "distribution": self.distribution,
            "machine": self.machine,
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
    own = installed_distributions()
    machine = own[0] if own else DISTRIBUTIONS[0]
    packages = [_package(need, versions[need.name], machine) for need in REQUIREMENTS]
    packages += [
        Package(name=name, version=installed_version(name), purpose="running models", optional=False)
        for name in runtimes or ("onnxruntime",)
    ]
    return DoctorReport(
        distribution=own[0].name if own else None,
        machine=machine.purpose,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=tuple(packages),
        providers=tuple(_check_for(machine, kind, runtimes) for kind in KINDS),
        cpu=read_cpu(),
        conflicts=tuple(filter(None, [why_twice(own), why_conflict(runtimes)])),
        advice=(*install_advice(versions, machine), *runtime_advice(runtimes, machine)),
    )


def _package(need: Requirement, version: str | None, machine: Distribution) -> Package:
    wanted = need.name not in machine.without
    return Package(
        name=need.name, version=version, purpose=need.purpose, optional=need.optional or not wanted, wanted=wanted
    )


def why_twice(installed: tuple[Distribution, ...]) -> str | None:
    """Return what is wrong where this program is `installed` more than once, else None."""
    return None if len(installed) < 2 else overwriting(tuple(each.name for each in installed), "the one that you want")


def install_advice(versions: dict[str, str | None], machine: Distribution) -> tuple[str, ...]:
    """Return what to install for each of `REQUIREMENTS` whose version is None, but for what `machine` goes without."""
    return tuple(
        f"pip install {need.extra_of(machine) or need.name}: {need.purpose}"
        for need in REQUIREMENTS
        if versions.get(need.name) is None and need.name not in machine.without
    )


def runtime_advice(runtimes: tuple[str, ...], machine: Distribution) -> tuple[str, ...]:
    """Return what to install where none of ONNX Runtime's distributions is."""
    if runtimes:
        return ()
    gpu = "onnxruntime-gpu (64-bit x86 Linux and Windows) or onnxruntime (elsewhere)"
    return (f"pip install {gpu if machine.runtime == 'onnxruntime-gpu' else machine.runtime}: running models",)


def _check_for(machine: Distribution, device: str, runtimes: tuple[str, ...]) -> ProviderCheck:
    if device != "cuda" or machine.with_cuda is None or "onnxruntime-gpu" in runtimes:
        return check_device(device)
    return ProviderCheck(
        device=device, works=False, detail=f"{machine.name} is for the CPU; {machine.with_cuda} is for CUDA too"
    )


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
