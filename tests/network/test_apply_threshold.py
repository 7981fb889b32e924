"""Which thresholds are taken, and what is said to the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from swp_export.checkpoint import read_checkpoint, write_checkpoint
from swp_export.errors import ThresholdError
from swp_export.network.instantiate import instantiate

MODELS = Path(__file__).parents[2] / "models"
RESNET, VGG = MODELS / "resnet56-fashion-mnist", MODELS / "vgg16-fashion-mnist"


@pytest.mark.parametrize("threshold", [-0.01, float("nan")])
def test_no_number_is_no_threshold(threshold: float) -> None:
    """Negative and NaN."""
    with pytest.raises(ThresholdError, match="expected a number that is not negative"):
        instantiate(read_checkpoint(RESNET / "best.pth.tar"), threshold=threshold)


def test_an_unbroken_file_needs_one() -> None:
    """The error shows the widest gap of the values, a round number in it, and how to see them all."""
    words = (
        r"needs --threshold F.*gap of the values is from 4\.77e-07 to 0\.0104, so --threshold 0\.01 .*swp-export insp"
    )
    with pytest.raises(ThresholdError, match=words):
        instantiate(read_checkpoint(RESNET / "best.pth.tar"))


def test_a_file_whose_dead_values_are_zero_needs_none() -> None:
    """Where every dead value is exactly zero, 0 is the threshold, and it is said that it was taken."""
    best = read_checkpoint(RESNET / "best.pth.tar")
    state = {
        key: torch.where(tensor.abs() > 0.01, tensor, 0.0) if key.endswith("FilterSkeleton") else tensor
        for key, tensor in best.state.items()
    }
    network = instantiate(dataclasses.replace(best, state=state))
    assert network.threshold == 0
    assert "0 was taken" in network.warnings[0]
    stated = instantiate(best, threshold=0.01)
    assert all(np.array_equal(stated.skeletons[name].mask, found.mask) for name, found in network.skeletons.items())


@pytest.mark.parametrize("wrapping", ["model.", "net.backbone.", "model.module."])
def test_what_a_network_was_wrapped_in_goes(wrapping: str) -> None:
    """Names that all keys begin with and a known network's do not: a LightningModule's `model.`, for example."""
    best = read_checkpoint(RESNET / "best.pth.tar")
    state = {wrapping + key: tensor for key, tensor in best.state.items()}
    wrapped = dataclasses.replace(best, state=state, modules=frozenset())
    assert instantiate(wrapped, threshold=0.01).architecture == "ResNet56"


def test_a_broken_file_takes_none() -> None:
    """The masks of a broken file are fixed."""
    with pytest.raises(ThresholdError, match=r"already broken: its skeletons are fixed.*leave out"):
        instantiate(read_checkpoint(VGG / "pruned.pth.tar"), threshold=0.01)


def test_nothing_live_is_refused() -> None:
    """A threshold above every value leaves no network; the largest value is named, and one that would do."""
    words = r"50 is not below the largest \|FilterSkeleton\|, 0\.\d+.*--threshold 0\.01 "
    with pytest.raises(ThresholdError, match=words):
        instantiate(read_checkpoint(RESNET / "best.pth.tar"), threshold=50)


def test_a_wrong_threshold_of_a_broken_float_file_is_answered_with_the_right_ones() -> None:
    """The row counts contradict it; the error gives numbers per layer and the range that fits, which works."""
    checkpoint = read_checkpoint(RESNET / "pruned_patch1.pth.tar")
    with pytest.raises(ThresholdError, match=r"conv1 has 21 rows but \d+ values above it.* and \d+ more; every") as e:
        instantiate(checkpoint, threshold=0.1)
    low, high = (float(word) for word in str(e.value).rpartition("from ")[2].replace("to below", "").split()[:2])
    assert low <= 0.01 < high
    assert instantiate(checkpoint, threshold=(low + high) / 2).threshold == (low + high) / 2


def test_row_counts_that_no_threshold_explains_are_refused() -> None:
    """One layer with a row too few and the others as they were belong to no threshold."""
    checkpoint = read_checkpoint(RESNET / "pruned_patch1.pth.tar")
    cut = dataclasses.replace(
        checkpoint, state={**checkpoint.state, "conv1.weight": checkpoint.state["conv1.weight"][:5]}
    )
    with pytest.raises(ThresholdError, match="no threshold fits all layers"):
        instantiate(cut, threshold=0.01)


def test_a_recorded_threshold_is_the_default(tmp_path: Path) -> None:
    """The self-describing layout brings its threshold; an unbroken file may be given another one."""
    state = read_checkpoint(RESNET / "best.pth.tar").state
    write_checkpoint(tmp_path / "own.pth", state, architecture="ResNet56", threshold=0.01)
    checkpoint = read_checkpoint(tmp_path / "own.pth")
    assert instantiate(checkpoint).threshold == 0.01
    assert instantiate(checkpoint, threshold=0.1).threshold == 0.1


def test_a_recorded_threshold_of_a_broken_file_may_be_repeated(tmp_path: Path) -> None:
    """A broken file takes the very threshold it was broken at, and no other."""
    state = read_checkpoint(RESNET / "pruned.pth.tar").state
    write_checkpoint(tmp_path / "own.pth", state, threshold=0.01)
    checkpoint = read_checkpoint(tmp_path / "own.pth")
    assert instantiate(checkpoint, threshold=0.01).threshold is None
    with pytest.raises(ThresholdError, match="already broken"):
        instantiate(checkpoint, threshold=0.1)
