"""Checkpoints of ordinary torch modules, without any Filter Skeleton."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from torch import nn

from swp_export.errors import ArchitectureError, CheckpointError, InputError, ModelError, ThresholdError
from swp_export.graph.metadata import RELATIVE_THRESHOLD
from swp_export.inspection.inspect import inspect
from swp_export.pruning.prune import prune
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from pathlib import Path

ARCH = "test_plain_networks:network"
SHAPE = (3, 9, 9)


def network() -> nn.Module:
    """Return convolutions of every kind: plain, depthwise, grouped, transposed and 1x1."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.ConvTranspose2d(8, 8, 2, stride=2),
        nn.Conv2d(8, 6, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


@pytest.fixture(params=[1e-6, 0.0])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write a network with three filters that are small, or zero."""
    torch.manual_seed(0)
    state = network().state_dict()
    state["0.weight"][[1, 2, 5]] *= request.param
    path = tmp_path / f"by-{request.param:g}.pth"
    torch.save({"state_dict": state}, path)
    return path


def test_pruned_and_verified(checkpoint: Path, tmp_path: Path) -> None:
    """Small stripes go by a threshold, those that are zero without one; layers bear the module's names."""
    small = "1e-06" in checkpoint.name
    out = tmp_path / "o.onnx"
    report = prune(checkpoint, threshold=1e-3 if small else None, arch=ARCH, input_shape=SHAPE, output=out)
    assert report.verification is not None
    assert report.verification.equivalent
    assert (report.layers[0].name, report.layers[0].live_filters, report.layers[0].stripes) == ("0", 5, 72)
    kinds = {"3": "depthwise", "4": "grouped", "5": "transposed"}
    assert [layer.name for layer in report.layers] == ["0", *kinds, "6"]
    for layer, kind in zip(report.layers[1:-1], kinds.values(), strict=True):
        assert layer.reason == f"no lowering writes {kind} convolutions"
    assert report.architecture == ARCH
    assert (report.threshold_error is not None) == small
    metadata = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert metadata.get(RELATIVE_THRESHOLD) == ("0.001" if small else None)
    found = verify(out, against=checkpoint, arch=ARCH)
    assert found.equivalent
    assert ("27 stripes set to zero" if small else "as it computes") in found.reference


def test_the_unpruned_network(checkpoint: Path, tmp_path: Path) -> None:
    """`--dense-out` is the network as saved."""
    dense = tmp_path / "d.onnx"
    threshold = 1e-3 if "1e-06" in checkpoint.name else None
    prune(checkpoint, threshold=threshold, arch=ARCH, input_shape=SHAPE, output=tmp_path / "o.onnx", dense_out=dense)
    assert verify(dense, against=checkpoint, arch=ARCH, threshold=0.0).equivalent


def test_what_is_missing_is_named(checkpoint: Path, tmp_path: Path) -> None:
    """The factory, the shape, a threshold that is a share."""
    out = tmp_path / "o.onnx"
    with pytest.raises(ArchitectureError, match=r"say which network it is, --arch package\.module:factory"):
        prune(checkpoint, output=out)
    with pytest.raises(InputError, match="give --input-shape"):
        prune(checkpoint, arch=ARCH, output=out)
    with pytest.raises(ThresholdError, match="share of the largest stripe norm"):
        prune(checkpoint, threshold=1.5, arch=ARCH, input_shape=SHAPE, output=out)
    with pytest.raises(CheckpointError, match=r"`prune` takes it with --arch package\.module:factory"):
        inspect(checkpoint)
    assert not out.exists()


def test_nothing_dead(tmp_path: Path) -> None:
    """The message says what a stripe is measured by."""
    torch.save(network().state_dict(), tmp_path / "live.pth")
    with pytest.raises(ModelError, match="pass --threshold F where dead stripes are small"):
        prune(tmp_path / "live.pth", arch=ARCH, input_shape=SHAPE, output=tmp_path / "o.onnx")
