"""The distributions that this program is installed as: for machines that do everything, or only run models.

All hold the same code and differ in what they install beside it: `pyproject.toml` and `packaging/*/pyproject.toml`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution: its `name`, what it is for, and where it is.

    Attributes:
        name: what pip calls it.
        purpose: what a machine with it is for.
        without: packages of the whole program that it leaves out, as pip calls them.
        runtime: the distribution of ONNX Runtime that it brings.
        with_cuda: the one to install instead where there is a GPU; None where it is for CUDA itself.

    """

    name: str
    purpose: str
    without: frozenset[str] = frozenset()
    runtime: str = "onnxruntime"
    with_cuda: str | None = None


_TRAINING = frozenset({"onnxscript", "safetensors", "torch", "torchvision"})

DISTRIBUTIONS = (
    Distribution(name="swp-export", purpose="all commands, on the CPU and on CUDA", runtime="onnxruntime-gpu"),
    Distribution(name="swp-export-cpu", purpose="all commands, on the CPU", with_cuda="swp-export"),
    Distribution(
        name="swp-export-runtime",
        purpose="ONNX models on the CPU; no checkpoints, no training",
        without=_TRAINING,
        with_cuda="swp-export-runtime-gpu",
    ),
    Distribution(
        name="swp-export-runtime-gpu",
        purpose="ONNX models on the CPU and on CUDA; no checkpoints, no training",
        without=_TRAINING,
        runtime="onnxruntime-gpu",
    ),
)
"""The whole one first."""


def installed_distributions() -> tuple[Distribution, ...]:
    """Return those of `DISTRIBUTIONS` that are installed here: one, unless somebody erred."""
    return tuple(each for each in DISTRIBUTIONS if installed_version(each.name) is not None)


def installed_version(distribution: str) -> str | None:
    """Return the version of `distribution`, or None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def program_version() -> str:
    """Return the version of this program, by whatever name it was installed; "unknown" where it was not."""
    versions = (installed_version(each.name) for each in DISTRIBUTIONS)
    return next((version for version in versions if version is not None), "unknown")


def overwriting(names: tuple[str, ...], keep: str) -> str:
    """Say what is wrong where several distributions, `names`, hold the same module, and what to do to `keep` one."""
    return (
        f"{' and '.join(names)} own the same module and overwrite each other; "
        f"pip uninstall -y {' '.join(names)}, then pip install {keep}"
    )
