"""The project's real checkpoints, as read and as pruned; the fixtures of conftest.py hold each of them once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_models import to_bytes

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport
    from swp_export.pruning.source import Source
    from swp_export.verification.references import Reference

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
    """Return what tests need of `source`."""
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
    """Read and export `checkpoint`, without pruning it."""
    from swp_export.pruning.source import read_source

    return exported(read_source(checkpoint, threshold=threshold, arch=None, input_shape=None, progress=lambda _: None))
