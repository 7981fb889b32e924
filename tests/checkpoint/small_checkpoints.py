"""A state dict of three layers, as a file, and what is said to files that are no checkpoints."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from swp_export.checkpoint import read_checkpoint
from swp_export.errors import CheckpointError
from swp_export.nn import BatchNorm2d, FilterStripe, Linear

if TYPE_CHECKING:
    from pathlib import Path

State = dict[str, torch.Tensor]


def small_state(*, broken: bool = False) -> State:
    """Return the state dict of a convolution, a BatchNorm and a classifier."""
    torch.manual_seed(0)
    layer = FilterStripe(3, 4, 3)
    layer.FilterSkeleton.data[0, 0] = 0
    if broken:
        layer.break_(0.01)
    return dict(nn.Sequential(OrderedDict(conv=layer, bn=BatchNorm2d(4), fc=Linear(4, 2))).state_dict())


def saved(tmp_path: Path, content: object, **options: Any) -> Path:
    """Save `content` with torch and return the file."""
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    """Return the one line with which `path` is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message
