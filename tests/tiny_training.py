"""A data set of a few images, and small networks to train on it as `tiny_training:spread` and `tiny_training:plain`."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from swp_export.architectures.vgg import VGG
from swp_export.nn import FilterStripe

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS: dict[str, Any] = {
    "dataset": "fashion-mnist",
    "arch": "tiny_training:spread",
    "sr": 0.2,
    "threshold": 0.05,
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.05,
}
"""For `train`, with `save` and `data_path`: stripes die in every epoch, and some live to the end."""


def write_images(folder: Path, *, train: int = 64, test: int = 32) -> Path:
    """Write a FashionMNIST of random images, each its own mirror image, so that flips change nothing."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = rng.integers(10, size=count, dtype=np.uint8)
        half = rng.integers(128, size=(count, 28, 14), dtype=np.uint8) + 12 * labels[:, None, None]
        images = np.concatenate([half, half[:, :, ::-1]], axis=2)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    return folder


def spread(num_classes: int) -> nn.Module:
    """Return a narrow VGG11 whose skeletons run from 0 to 1, so that a few steps kill some of its stripes."""
    network = VGG("VGG11", num_classes, width=0.05)
    for layer in network.modules():
        if isinstance(layer, FilterStripe):
            nn.init.uniform_(layer.FilterSkeleton)
            layer.FilterSkeleton.data[0] = 1  # no layer dies as a whole
    return network


def plain(num_classes: int) -> nn.Module:
    """Return a network without BatchNorm, in which the mean over a batch's parts is the mean over the batch."""
    network = nn.Sequential(
        FilterStripe(3, 8, 3, stride=2, bias=True),
        nn.ReLU(),
        FilterStripe(8, 8, 3, stride=2, bias=True),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )
    for layer in (network[0], network[2]):
        nn.init.uniform_(layer.FilterSkeleton)
    return network


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a file that `train` wrote."""
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def assert_equal_states(first: Path, second: Path) -> None:
    """Assert that two files hold the same tensors, bit for bit."""
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys()
    for key, tensor in one.items():
        assert torch.equal(tensor, other[key]), key
