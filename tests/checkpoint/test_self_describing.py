"""The self-describing format is read as it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from small_checkpoints import saved, small_state

from swp_export.checkpoint import read_checkpoint, write_checkpoint
from swp_export.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_it_comes_back(tmp_path: Path) -> None:
    """What `write_checkpoint` wrote is read with all it was given, and with the versions that wrote it."""
    path, state = tmp_path / "own.pth", small_state()
    normalisation = {"mean": [0.5], "std": [0.2]}
    write_checkpoint(
        path,
        state,
        architecture="VGG16",
        threshold=0.01,
        input_shape=(3, 32, 32),
        normalisation=normalisation,
        class_names=["cat", "dog"],
    )
    checkpoint = read_checkpoint(path)
    assert (checkpoint.architecture, checkpoint.threshold, checkpoint.input_shape) == ("VGG16", 0.01, (3, 32, 32))
    assert checkpoint.metadata["normalisation"] == normalisation
    assert checkpoint.metadata["class_names"] == ["cat", "dog"]
    assert isinstance(checkpoint.metadata["versions"], dict)
    assert checkpoint.metadata["versions"].keys() == {"swp-export", "torch"}
    assert all(torch.equal(checkpoint.state[key], state[key]) for key in state)


def test_writing_keeps_an_existing_file(tmp_path: Path) -> None:
    """A checkpoint is overwritten with force only."""
    path = tmp_path / "own.pth"
    write_checkpoint(path, small_state())
    with pytest.raises(OutputError, match="exists already"):
        write_checkpoint(path, small_state())
    write_checkpoint(path, small_state(broken=True), force=True)
    assert read_checkpoint(path).layout.name == "broken"


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    """A state dict with NaN is refused before a file exists."""
    state = small_state()
    state["conv.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"conv\.weight has 1 of 108 values"):
        write_checkpoint(tmp_path / "own.pth", state)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("version", 2, "written in version 2.*upgrade"),
        ("architecture", 3, "architecture is 3, expected a name"),
        ("threshold", -1.0, "threshold is -1.0"),
        ("threshold", float("nan"), "threshold is nan"),
        ("threshold", float("inf"), "threshold is inf"),
        ("threshold", "0.01", "threshold is '0.01'"),
        ("input_shape", [3, 32], r"input_shape is \[3, 32\], expected \[C, H, W\]"),
        ("input_shape", [3, 32, 0], r"expected \[C, H, W\]"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: object, complaint: str) -> None:
    """What the file says is checked like a user's input."""
    content = {"format": "swp-export-checkpoint", "version": 1, "state_dict": small_state(), field: value}
    with pytest.raises(CheckpointError, match=complaint):
        read_checkpoint(saved(tmp_path, content))
