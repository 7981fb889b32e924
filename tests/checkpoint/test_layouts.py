"""Every layout is told from the tensors, and what is none of them is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from small_checkpoints import refusal, saved, small_state

from swp_export.checkpoint import read_checkpoint
from swp_export.checkpoint.layouts import LAYOUTS, layout_of
from swp_export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.checkpoint import Layout


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_is_told_by_its_tensors(layout: Layout) -> None:
    """A broken file has a row for each live stripe; one that says which are live has a mask, else numbers."""
    state = small_state(broken=layout.broken)
    if layout.takes_threshold:
        state["conv.FilterSkeleton"] = state["conv.FilterSkeleton"].float()
    assert layout_of(state) is layout


def test_no_skeleton_is_no_layout() -> None:
    """A state dict of an ordinary network is refused."""
    with pytest.raises(CheckpointError, match="none of its 1 entries is a FilterSkeleton"):
        layout_of({"conv.weight": torch.ones(4, 3, 3, 3)})


def test_mixed_layouts_are_refused(tmp_path: Path) -> None:
    """One layer unbroken and one broken is no layout."""
    state = small_state()
    state |= {f"second.{key}": tensor for key, tensor in small_state(broken=True).items()}
    assert "mixes layouts (conv is unbroken, second.conv is broken)" in refusal(saved(tmp_path, state))


def test_a_row_count_that_contradicts_the_skeleton_is_refused(tmp_path: Path) -> None:
    """The layer and both numbers are named."""
    state = small_state(broken=True)
    state["conv.weight"] = state["conv.weight"][:-1]
    assert "conv has 32 rows, but 33 live stripes" in refusal(saved(tmp_path, state))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("conv.FilterSkeleton", torch.ones(4, 5, 5)),
        ("conv.FilterSkeleton", torch.ones(4, 3)),
        ("conv.FilterSkeleton", torch.ones(4, 3, 3, dtype=torch.int32)),
        ("conv.FilterSkeleton", torch.ones(4, 5, 5, dtype=torch.bool)),
        ("conv.weight", torch.ones(4, 3)),
        ("conv.weight", torch.ones(37, 3, 1, 1)),
        ("conv.weight", torch.ones(4, 3, 3, 3, dtype=torch.int8)),
    ],
)
def test_a_skeleton_that_does_not_fit_its_weight_is_refused(tmp_path: Path, key: str, value: torch.Tensor) -> None:
    """Shapes and dtypes of a layer must be one of the layouts'; the error shows them."""
    message = refusal(saved(tmp_path, small_state() | {key: value}))
    assert ": conv has a FilterSkeleton" in message
    assert "expected" in message


def test_a_skeleton_without_a_weight_is_refused(tmp_path: Path) -> None:
    """A layer needs both."""
    state = small_state()
    del state["conv.weight"]
    assert "no weight" in refusal(saved(tmp_path, state))


def test_1x1_skeletons_say_nothing_about_the_layout(tmp_path: Path) -> None:
    """A float 1x1 skeleton in a broken file is no mixture; 1x1 skeletons alone are no stripe-wise network."""
    one = {"down.weight": torch.ones(4, 3, 1, 1), "down.FilterSkeleton": torch.ones(4, 1, 1)}
    assert read_checkpoint(saved(tmp_path, small_state(broken=True) | one)).layout.name == "broken"
    assert "every FilterSkeleton in it is 1x1" in refusal(saved(tmp_path, one))
