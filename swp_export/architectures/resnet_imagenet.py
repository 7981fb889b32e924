"""ResNet for 224x224 images, with torchvision's key names.

He et al., arXiv 1512.03385, section 4.1; as in torchvision a bottleneck's stride is on its 3x3 convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from swp_export.architectures.resnet import BasicBlock, make_shortcut
from swp_export.nn import BatchNorm2d, FilterStripe, Linear

if TYPE_CHECKING:
    from collections.abc import Mapping


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution beside a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = FilterStripe(in_channels, channels, 1)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = FilterStripe(channels, channels, 3, stride)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = FilterStripe(channels, out_channels, 1)
        self.bn3 = BatchNorm2d(out_channels)
        self.downsample = make_shortcut(in_channels, out_channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[B, 4 * channels, H / stride, W / stride]` of `x` `[B, in_channels, H, W]`."""
        branch = functional.relu(self.bn1(self.conv1(x)))
        branch = functional.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return functional.relu(branch + self.downsample(x))


# The kind of block, and blocks per stage.
BLOCKS: Mapping[str, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    "ResNet18": (BasicBlock, (2, 2, 2, 2)),
    "ResNet34": (BasicBlock, (3, 4, 6, 3)),
    "ResNet50": (Bottleneck, (3, 4, 6, 3)),
}


class ImageNetResNet(nn.Module):
    """The ResNet called `name`, a key of `BLOCKS`: `[B, 3, H, W]` to logits `[B, num_classes]`.

    `width` multiplies the channels of every layer.
    """

    def __init__(self, name: str, num_classes: int = 1000, *, width: float = 1) -> None:
        super().__init__()
        block, blocks = BLOCKS[name]
        channels = [max(1, round(stock * width)) for stock in (64, 128, 256, 512)]
        self.conv1 = FilterStripe(3, channels[0], 7, 2)
        self.bn1 = BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _make_stage(block, channels[0], channels[0], blocks[0], 1)
        self.layer2 = _make_stage(block, channels[0] * block.expansion, channels[1], blocks[1], 2)
        self.layer3 = _make_stage(block, channels[1] * block.expansion, channels[2], blocks[2], 2)
        self.layer4 = _make_stage(block, channels[2] * block.expansion, channels[3], blocks[3], 2)
        self.fc = Linear(channels[3] * block.expansion, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits `[B, num_classes]` of `x` `[B, 3, H, W]`."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: torch.Tensor = self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
        return logits


def _make_stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, blocks: int, stride: int
) -> nn.Sequential:
    followers = (block(channels * block.expansion, channels, 1) for _ in range(blocks - 1))
    return nn.Sequential(block(in_channels, channels, stride), *followers)
