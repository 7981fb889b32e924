"""A user's own small network, for `--arch small_networks:residual`, and checkpoints of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.nn import FilterStripe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Residual(nn.Module):
    """A stem, one residual block, a classifier."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem, self.bn0 = FilterStripe(3, 12, 3), nn.BatchNorm2d(12)
        self.conv1, self.bn1 = FilterStripe(12, 12, 3, stride=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = FilterStripe(12, 12, 3), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, num_classes]`."""
        x = torch.relu(self.bn0(self.stem(x)))
        branch = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.relu(x + branch).mean((2, 3)))


class Mixed(nn.Module):
    """A depthwise convolution between two ordinary ones, of which the second is run twice."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = FilterStripe(3, 8, 3, bias=True)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.twice = FilterStripe(8, 8, 3, bias=True)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `[N, num_classes]`."""
        x = torch.relu(self.depthwise(torch.relu(self.stem(x))))
        return self.fc(torch.relu(self.twice(torch.relu(self.twice(x)))).mean((2, 3)))


def mixed(num_classes: int) -> nn.Module:
    """Return an untrained Mixed."""
    return Mixed(num_classes)


def residual(num_classes: int) -> nn.Module:
    """Return an untrained Residual."""
    return Residual(num_classes)


def write_checkpoint(
    path: Path,
    *,
    live: float = 0.3,
    num_classes: int = 4,
    seed: int = 0,
    factory: Callable[[int], nn.Module] = residual,
) -> Path:
    """Write an unbroken checkpoint in which the share `live` of the stripes exceeds 0.05, BatchNorms not trivial."""
    generator = torch.Generator().manual_seed(seed)
    state = factory(num_classes).state_dict()
    for key, tensor in state.items():
        if key.endswith("FilterSkeleton"):
            state[key] = torch.where(torch.rand(tensor.shape, generator=generator) < live, 0.8, 0.01)
        elif tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator) * 0.3
            state[key] = noise.abs() + 0.3 if "var" in key else noise
    torch.save(state, path)
    return path
