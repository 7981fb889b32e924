"""Parameters and FLOPs of networks before pruning."""

from __future__ import annotations

import pytest
from torch import nn

from swp_export.network.stock_counts import stock_counts


@pytest.mark.parametrize(
    ("name", "shape", "params", "flops"),
    [
        ("VGG16", (3, 32, 32), 14_724_042, 626_403_328),
        ("ResNet56", (3, 32, 32), 855_770, 251_495_680),
    ],
)
def test_the_counts_are_the_published_ones(name: str, shape: tuple[int, int, int], params: int, flops: int) -> None:
    """14.72 M and 626 MFLOPs for VGG16, 0.86 M and 251 MFLOPs for ResNet56, skeletons not counted."""
    counts = stock_counts(name, 10, shape)
    assert (counts.params, counts.flops) == (params, flops)


def test_resnet50_has_torchvision_s_parameters() -> None:
    """With 1000 classes the count is torchvision's 25,557,032."""
    assert stock_counts("ResNet50", 1000, (3, 224, 224)).params == 25_557_032


def test_grey_images_change_the_first_layer_only() -> None:
    """One input channel instead of three: 2 * 9 * 64 weights fewer."""
    three, one = stock_counts("VGG16", 10, (3, 32, 32)), stock_counts("VGG16", 10, (1, 32, 32))
    assert three.params - one.params == 2 * 9 * 64
    assert three.flops - one.flops == 2 * 2 * 9 * 64 * 32 * 32


@pytest.mark.parametrize(("name", "floats"), [("VGG16", 14_719_818), ("ResNet56", 853_642)])
def test_folded_parameters(name: str, floats: int) -> None:
    """BatchNorm becomes one bias per filter: what the unpruned networks' ONNX files, by --dense-out, hold."""
    assert stock_counts(name, 10, (3, 32, 32)).folded_params == floats


def mixed() -> nn.Module:
    """Return a depthwise, a 1-D and a transposed convolution, each with a bias."""
    return nn.Sequential(
        nn.Conv2d(3, 6, (1, 3), groups=3),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.Flatten(2),
        nn.Conv1d(4, 2, 5),
    )


def test_convolutions_of_every_kind() -> None:
    """By hand, for 3x4x6: 6 x 16 outputs of 3 products, as many inputs spread over 16, then 2 x 60 outputs of 20."""
    counts = stock_counts("test_stock_counts:mixed", None, (3, 4, 6))
    assert counts.flops == 2 * (6 * 16 * 3 + 6 * 16 * 16 + 2 * 60 * 20)
    assert counts.skeletons == {"0": (6, 1, 3), "1": (4, 2, 2), "3": (2, 5)}
