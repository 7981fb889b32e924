"""What `test_layout` does in a process of its own, which may crash: narrow_layers.py FOLDER."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from swp_export.nn import FilterStripe
from swp_export.training.train import train

CHANNELS = (3, 4, 15, 16)
NETWORKS: list[nn.Module] = []


class Narrow(nn.Module):
    """A 1x1 convolution of stride 2 with few input channels each, over maps of 224x224."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.ModuleList([FilterStripe(3, channels, 3) for channels in CHANNELS])
        self.shortcut = nn.ModuleList([FilterStripe(channels, 8, 1, 2) for channels in CHANNELS])
        self.norm = nn.BatchNorm2d(8 * len(CHANNELS))
        self.fc = nn.Linear(8 * len(CHANNELS), num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `[B, num_classes]`."""
        parts = [shortcut(stem(x)) for stem, shortcut in zip(self.stem, self.shortcut, strict=True)]
        logits: torch.Tensor = self.fc(self.norm(torch.cat(parts, 1)).square().mean(dim=(2, 3)))
        return logits


def network(num_classes: int) -> nn.Module:
    """Return a network whose weights lie channels last, as people write it, and keep it to look at it afterwards."""
    NETWORKS.append(Narrow(num_classes).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    return NETWORKS[-1]


def main(folder: Path) -> None:
    """Train an epoch, and compare the gradients of one step more with those of float64."""
    rng = np.random.default_rng(0)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(rng.integers(255, size=(224, 224, 3), dtype=np.uint8)).save(folder / name / "image.png")
    arch = "narrow_layers:network"
    train(save=folder / "run", arch=arch, dataset="imagefolder", data_path=folder, epochs=1, batch_size=2)
    compare(NETWORKS[0])


def compare(trained: nn.Module) -> None:
    """Assert that the gradients of a step, of every kernel, are those of float64 up to a thousand roundings."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 224, 224)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        one = copy.deepcopy(trained).train().to(dtype)
        functional_loss(one, x.to(dtype)).backward()
        gradients.append({name: p.grad for name, p in one.named_parameters() if p.dim() == 4})
    for name, expected in gradients[1].items():
        error = (gradients[0][name].double() - expected).norm() / expected.norm()
        assert error < 1000 * torch.finfo(torch.float32).eps, (name, float(error))


def functional_loss(one: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy, the labels being 0 and 1."""
    return nn.functional.cross_entropy(one(x), torch.arange(2))


if __name__ == "__main__":
    sys.modules["narrow_layers"] = sys.modules["__main__"]
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
