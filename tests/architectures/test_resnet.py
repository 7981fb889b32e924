"""The ResNets have the keys of the method's and of torchvision's."""

from __future__ import annotations

import pytest
import torch

from swp_export.architectures.resnet import BLOCKS, ResNet
from swp_export.architectures.resnet_imagenet import BLOCKS as IMAGENET_BLOCKS
from swp_export.architectures.resnet_imagenet import ImageNetResNet


@pytest.mark.parametrize("name", BLOCKS)
def test_the_depth_is_in_the_name(name: str) -> None:
    """ResNet<d> has d - 1 convolutions outside the shortcuts, and returns logits."""
    with torch.device("meta"):
        module = ResNet(name, 7).eval()
        assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    weights = [k for k, t in module.state_dict().items() if t.ndim == 4 and "downsample" not in k]
    assert f"ResNet{len(weights) + 1}" == name


@pytest.mark.parametrize("name", IMAGENET_BLOCKS)
def test_the_imagenet_depth_is_in_the_name(name: str) -> None:
    """ResNet<d> has d - 1 convolutions outside the shortcuts; five halvings leave 7x7 of 224x224."""
    with torch.device("meta"):
        module = ImageNetResNet(name, 7).eval()
        assert module(torch.zeros(2, 3, 224, 224)).shape == (2, 7)
    weights = [k for k, t in module.state_dict().items() if t.ndim == 4 and "downsample" not in k]
    assert f"ResNet{len(weights) + 1}" == name


def test_the_keys_are_torchvision_s() -> None:
    """Apart from the skeletons, ResNet50's keys and shapes are torchvision's (spot checks where they could differ)."""
    with torch.device("meta"):
        state = ImageNetResNet("ResNet50", 1000).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith("FilterSkeleton")}
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer2.0.conv2.weight"] == (128, 128, 3, 3)
    assert shapes["layer4.2.bn3.running_var"] == (2048,)
    assert shapes["fc.weight"] == (1000, 2048)
    assert len(shapes) == 320


def test_a_shape_change_has_a_shortcut_of_its_own() -> None:
    """Only the first blocks of layer 2 and 3 have a 1x1 shortcut, with a skeleton `[N, 1, 1]`."""
    with torch.device("meta"):
        state = ResNet("ResNet20").state_dict()
    shortcuts = {key: tuple(t.shape) for key, t in state.items() if key.endswith("downsample.0.FilterSkeleton")}
    assert shortcuts == {
        "layer2.0.downsample.0.FilterSkeleton": (32, 1, 1),
        "layer3.0.downsample.0.FilterSkeleton": (64, 1, 1),
    }
