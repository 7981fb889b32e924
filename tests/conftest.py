"""What all tests share: hypothesis without a clock, and the real checkpoints, each exported and pruned once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from small_models import to_bytes

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport
    from swp_export.pruning.source import Source
    from swp_export.verification.references import Reference

# The same examples in every run, and no deadline: a slow machine is no failure.
settings.register_profile("swp-export", deadline=None, derandomize=True)
settings.load_profile("swp-export")

# On a busy machine torch's threads mostly wait for one another.
torch.set_num_threads(1)

MODELS = Path(__file__).parents[1] / "models"
RESNET = MODELS / "resnet56-fashion-mnist"
VGG = MODELS / "vgg16-fashion-mnist"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """A checkpoint's dense masked graph, serialised so that no test can spoil it for another, and its reference."""

    dense: bytes
    reference: Reference
    input_shape: tuple[int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruned(Exported):
    """What `prune` made of a checkpoint."""

    content: bytes
    report: PruneReport


def exported(source: Source) -> Exported:
    return Exported(dense=to_bytes(source.dense), reference=source.reference, input_shape=source.input_shape)


def pruned(checkpoint: Path, threshold: float | None, folder: Path) -> Pruned:
    """Run `prune` on `checkpoint`, listening in on what it reads, so that the export need not be repeated."""
    import swp_export.pruning.prune as command

    heard: list[Exported] = []
    read_source = command.read_source

    def listening(*args: object, **options: object) -> Source:
        source = read_source(*args, **options)  # type: ignore[arg-type]
        heard.append(exported(source))
        return source

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "read_source", listening)
        report = command.prune(
            checkpoint, threshold=threshold, output=folder / "pruned.onnx", data=checkpoint.parent / "samples.npz"
        )
    content = (folder / "pruned.onnx").read_bytes()
    return Pruned(**vars(heard[0]), content=content, report=report)


def read(checkpoint: Path, threshold: float | None) -> Exported:
    from swp_export.pruning.source import read_source

    return exported(
        read_source(checkpoint, threshold=threshold, arch=None, input_shape=None, progress=lambda _: None)
    )


@pytest.fixture(scope="session")
def resnet56(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """ResNet56, unbroken, pruned at 0.01."""
    return pruned(RESNET / "best.pth.tar", 0.01, tmp_path_factory.mktemp("resnet56"))


@pytest.fixture(scope="session")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """VGG16, broken, pruned."""
    return pruned(VGG / "pruned.pth.tar", None, tmp_path_factory.mktemp("vgg16"))


@pytest.fixture(scope="session")
def resnet56_at_0_1() -> Exported:
    """ResNet56 thresholded at 0.1, where 16 blocks die."""
    return read(RESNET / "best.pth.tar", 0.1)


@pytest.fixture(scope="session")
def resnet56_at_0_2() -> Exported:
    """ResNet56 thresholded at 0.2, where 25 blocks die, one with a downsample among them."""
    return read(RESNET / "best.pth.tar", 0.2)
