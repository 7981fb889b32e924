"""ResNet for 32x32 images, with the key names of the method's checkpoints.

He et al., arXiv 1512.03385, section 4.2: three stages of n basic blocks, depth 6n + 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from swp_export.nn import BatchNorm2d, FilterStripe, Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

# Blocks per stage.
BLOCKS: Mapping[str, tuple[int, ...]] = {
    "ResNet20": (3, 3, 3),
    "ResNet32": (5, 5, 5),
    "ResNet44": (7, 7, 7),
    "ResNet56": (9, 9, 9),
    "ResNet110": (18, 18, 18),
}


def make_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return what stands beside a block's branch: nothing, or a 1x1 convolution where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(FilterStripe(in_channels, out_channels, 1, stride), BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = FilterStripe(in_channels, channels, 3, stride)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = FilterStripe(channels, channels, 3)
        self.bn2 = BatchNorm2d(channels)
        self.downsample = make_shortcut(in_channels, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, channels, H / stride, W / stride]` of `x` `[B, in_channels, H, W]`."""
        branch = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(branch + self.downsample(x))


class ResNet(nn.Module):
    """The ResNet called `name`, a key of `BLOCKS`: `[B, 3, H, W]` to logits `[B, num_classes]`.

    `width` multiplies the channels of every layer.
    """

    def __init__(self, name: str, num_classes: int = 10, *, width: float = 1) -> None:
        super().__init__()
        first, second, third = BLOCKS[name]
        narrow, middle, wide = (max(1, round(channels * width)) for channels in (16, 32, 64))
        self.conv1 = FilterStripe(3, narrow, 3)
        self.bn1 = BatchNorm2d(narrow)
        self.layer1 = _make_stage(narrow, narrow, first, 1)
        self.layer2 = _make_stage(narrow, middle, second, 2)
        self.layer3 = _make_stage(middle, wide, third, 2)
        self.fc = Linear(wide, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits `[B, num_classes]` of `x` `[B, 3, H, W]`."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
        return logits


def _make_stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(in_channels, channels, stride), *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1))
    )
