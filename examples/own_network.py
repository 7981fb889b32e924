"""Take a network that swp-export does not know to ONNX: give it a factory, name it with `--arch`.

The layers of `swp_export.nn`, or your copy of the method's FilterStripe (a Conv2d with a parameter `FilterSkeleton`
[N, K, K]), are all that is needed; kernels, strides, paddings and the wiring between the layers are free.

    python examples/own_network.py [FOLDER]

does the same as, from the folder `examples/`,

    swp-export prune own.pth --arch own_network:make_network --threshold 0.05
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import swp_export
from swp_export.nn import BatchNorm2d, FilterStripe


class OwnNetwork(nn.Module):
    """A residual network with a 5x5, a strided 3x3 and a dilated 3x3 convolution, for grey images of any size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = FilterStripe(1, 24, 5)
        self.stem_norm = BatchNorm2d(24)
        self.down = FilterStripe(24, 48, 3, stride=2)
        self.down_norm = BatchNorm2d(48)
        self.wide = FilterStripe(48, 48, 3, padding=2, dilation=2)
        self.wide_norm = BatchNorm2d(48)
        self.head = nn.Linear(48, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images `[N, 1, H, W]` to logits `[N, num_classes]`."""
        x = functional.relu(self.stem_norm(self.stem(x)))
        x = functional.relu(self.down_norm(self.down(x)))
        x = functional.relu(x + self.wide_norm(self.wide(x)))
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def make_network(num_classes: int) -> nn.Module:
    """Return the network as it is before pruning; this is what `--arch own_network:make_network` calls."""
    return OwnNetwork(num_classes)


def main(folder: Path) -> None:
    """Write a checkpoint with random skeletons (train yours instead), prune it, and say what came of it."""
    torch.manual_seed(0)
    network = make_network(10)
    for layer in network.modules():
        if isinstance(layer, FilterStripe):
            live = torch.rand_like(layer.FilterSkeleton) < 0.2
            layer.FilterSkeleton.data = torch.where(live, torch.rand_like(layer.FilterSkeleton) + 0.5, 0.01)
    torch.save(network.state_dict(), folder / "own.pth")
    report = swp_export.prune(
        folder / "own.pth",
        arch="own_network:make_network",
        threshold=0.05,
        input_shape=(1, 28, 28),
        output=folder / "own.onnx",
        force=True,
    )
    for row in report.layers:
        print(f"{row.name}: {row.live_stripes} of {row.stripes} stripes, {row.lowering} ({row.reason})")
    assert report.verification is not None
    print(report.verification.summary())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
