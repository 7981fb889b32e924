"""What a training loop saves is read without options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import swp_export
from swp_export.architectures.resnet import ResNet
from swp_export.checkpoint import read_checkpoint
from swp_export.errors import CheckpointError, InputError, OutputError
from swp_export.inspection.report import InspectReport
from swp_export.nn import FilterStripe, save

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [f"class {n}" for n in range(4)]


def network() -> ResNet:
    """Return a ResNet20, half of its stripes below 0.1."""
    built = ResNet("ResNet20", 4)
    for layer in built.modules():
        if isinstance(layer, FilterStripe):
            nn.init.uniform_(layer.FilterSkeleton, 0, 0.2)
    return built


def test_inspect_reads_it_without_options(tmp_path: Path) -> None:
    """Threshold, shape, normalisation and classes are those that were saved, tensors for numbers too."""
    normalisation: dict[str, Any] = {"mean": torch.tensor([0.5, 0.25, 0.5]), "std": (0.5, 1, 0.25)}
    save(
        nn.DataParallel(network()),
        tmp_path / "best.pth",
        threshold=0.1,
        input_shape=(3, 32, 32),
        normalisation=normalisation,
        class_names=NAMES,
    )
    report = swp_export.inspect(str(tmp_path / "best.pth"))
    assert isinstance(report, InspectReport)
    assert (report.architecture, report.threshold, report.input_shape) == ("ResNet20", 0.1, (3, 32, 32))
    assert report.metadata["normalisation"] == {"mean": [0.5, 0.25, 0.5], "std": [0.5, 1.0, 0.25]}
    assert report.metadata["class_names"] == NAMES
    assert report.totals.live_stripes is not None
    assert 0 < report.totals.live_stripes < report.totals.stripes


def test_each_epoch_may_overwrite_the_last(tmp_path: Path) -> None:
    """A file is overwritten with force only."""
    path = tmp_path / "best.pth"
    for force in (False, True):
        save(network(), path, threshold=0.1, input_shape=(3, 32, 32), force=force)
    assert read_checkpoint(path).threshold == 0.1
    with pytest.raises(OutputError, match="exists already"):
        save(network(), path, threshold=0.1, input_shape=(3, 32, 32))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"threshold": -1}, r"the threshold is -1, expected a number that is not negative"),
        ({"input_shape": (1, 3, 32, 32)}, r"expected \(C, H, W\) of one image, without the batch"),
        ({"normalisation": {"mean": [0.5] * 3}}, "the normalisation has mean, expected mean and std"),
        ({"normalisation": {"mean": [0.5], "std": [1.0]}}, "mean is .*, expected 3 numbers"),
        ({"normalisation": {"mean": [0.5] * 3, "std": [0.0] * 3}}, "std is .*, expected 3 positive numbers"),
        ({"class_names": "cat"}, "the class names are 'cat', expected a list"),
    ],
)
def test_what_could_not_be_used_is_not_saved(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    """What was passed wrongly is an error while the network is still there, and no file."""
    arguments: dict[str, Any] = {"threshold": 0.1, "input_shape": (3, 32, 32)}
    with pytest.raises(InputError, match=complaint):
        save(network(), tmp_path / "best.pth", **arguments | changes)
    assert not list(tmp_path.iterdir())


def test_a_network_without_skeletons_is_told_of_convert(tmp_path: Path) -> None:
    """A plain network is an error that says what to do."""
    with pytest.raises(CheckpointError, match=r"swp_export\.nn\.convert"):
        save(nn.Conv2d(3, 8, 3), tmp_path / "best.pth", threshold=0.1, input_shape=(3, 8, 8))
