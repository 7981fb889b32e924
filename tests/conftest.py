"""What all tests share: hypothesis without a clock, and the real checkpoints, each exported and pruned once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from real_networks import RESNET, VGG, Exported, Pruned, pruned, read

# The same examples in every run, and no deadline: a slow machine is no failure.
settings.register_profile("swp-export", deadline=None, derandomize=True)
settings.load_profile("swp-export")

# On a busy machine torch's threads mostly wait for one another.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def resnet56(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """ResNet56, unbroken, pruned at 0.01."""
    return pruned(RESNET / "best.pth.tar", 0.01, tmp_path_factory.mktemp("resnet56"))


@pytest.fixture(scope="session")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Pruned:
    """VGG16, broken, pruned."""
    return pruned(VGG / "pruned.pth.tar", None, tmp_path_factory.mktemp("vgg16"))


@pytest.fixture(scope="session")
def resnet56_at_0_1() -> Exported:
    """ResNet56 thresholded at 0.1, where 16 blocks die."""
    return read(RESNET / "best.pth.tar", 0.1)


@pytest.fixture(scope="session")
def resnet56_at_0_2() -> Exported:
    """ResNet56 thresholded at 0.2, where 25 blocks die, one with a downsample among them."""
    return read(RESNET / "best.pth.tar", 0.2)
