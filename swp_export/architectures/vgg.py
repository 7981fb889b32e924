"""VGG for 32x32 images, with the key names of the method's checkpoints.

`features.<n>` is a convolution, n+1 its BatchNorm, n+2 its ReLU; the numbers between are pools. Simonyan and Zisserman,
arXiv 1409.1556, with one fully connected layer, as the method uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.nn import BatchNorm2d, FilterStripe, Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

# Output channels of the convolutions, stage by stage; a 2x2 max pool ends each stage.
STAGES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "VGG11": ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    "VGG13": ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    "VGG16": ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    "VGG19": ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """The VGG called `name`, a key of `STAGES`: `[B, 3, 32, 32]` to logits `[B, num_classes]`.

    `width` multiplies the channels of every layer.
    """

    def __init__(self, name: str, num_classes: int = 10, *, width: float = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in STAGES[name]:
            for stock in stage:
                filters = max(1, round(stock * width))
                layers += [FilterStripe(channels, filters, 3), BatchNorm2d(filters), nn.ReLU(inplace=True)]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits `[B, num_classes]` of `x` `[B, 3, 32, 32]`."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits


def convolution_indices(name: str) -> tuple[int, ...]:
    """Return the n of each convolution `features.<n>` of the VGG called `name`."""
    indices: list[int] = []
    position = 0
    for stage in STAGES[name]:
        indices += [position + 3 * offset for offset in range(len(stage))]
        position += 3 * len(stage) + 1
    return tuple(indices)
