"""Take torchvision's networks to ONNX: `swp_export.nn.convert` gives their convolutions Filter Skeletons.

    python examples/torchvision_networks.py [FOLDER]

takes one of them from its constructor over a step of training to a verified model. The last part is, from the folder
`examples/`,

    swp-export prune resnet18.pth --arch torchvision_networks:resnet18 --threshold 0.05 --input-shape 3,64,64

Needs torchvision, which is in the extra `train`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torchvision import models

import swp_export
from swp_export.nn import FilterStripe, SkeletonUpdate, convert

if TYPE_CHECKING:
    from torch import nn


def resnet18(num_classes: int = 10) -> nn.Module:
    """Return torchvision's ResNet18 with Filter Skeletons."""
    return convert(models.resnet18(weights=None, num_classes=num_classes))


def vgg16_bn(num_classes: int = 10) -> nn.Module:
    """Return torchvision's VGG16 with BatchNorm and Filter Skeletons."""
    return convert(models.vgg16_bn(weights=None, num_classes=num_classes, init_weights=False))


def densenet121(num_classes: int = 10) -> nn.Module:
    """Return torchvision's DenseNet121 with Filter Skeletons."""
    return convert(models.densenet121(weights=None, num_classes=num_classes))


def googlenet(num_classes: int = 10) -> nn.Module:
    """Return torchvision's GoogLeNet with Filter Skeletons, without its auxiliary classifiers."""
    return convert(models.googlenet(weights=None, num_classes=num_classes, aux_logits=False, init_weights=False))


def mobilenet_v3_small(num_classes: int = 10) -> nn.Module:
    """Return torchvision's MobileNetV3-Small with Filter Skeletons; its depthwise convolutions stay as they are."""
    return convert(models.mobilenet_v3_small(weights=None, num_classes=num_classes))


def efficientnet_b0(num_classes: int = 10) -> nn.Module:
    """Return torchvision's EfficientNet-B0 with Filter Skeletons; its depthwise convolutions stay as they are."""
    return convert(models.efficientnet_b0(weights=None, num_classes=num_classes))


def inception_v3(num_classes: int = 10) -> nn.Module:
    """Return torchvision's InceptionV3 with Filter Skeletons, without its auxiliary classifier."""
    return convert(models.inception_v3(weights=None, num_classes=num_classes, aux_logits=False, init_weights=False))


def main(folder: Path) -> None:
    """Train a ResNet18 for one step, give it the dead stripes of a whole training, and prune it."""
    torch.manual_seed(0)
    network = resnet18()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    SkeletonUpdate(network, sr=1e-5, threshold=0.05).attach(optimizer)
    functional.cross_entropy(network(torch.randn(4, 3, 64, 64)), torch.randint(10, [4])).backward()
    optimizer.step()
    for layer in network.modules():
        if isinstance(layer, FilterStripe):
            layer.FilterSkeleton.data[torch.rand_like(layer.FilterSkeleton) < 0.7] = 0
    torch.save(network.state_dict(), folder / "resnet18.pth")
    report = swp_export.prune(
        folder / "resnet18.pth",
        arch="torchvision_networks:resnet18",
        threshold=0.05,
        input_shape=(3, 64, 64),
        output=folder / "resnet18.onnx",
        force=True,
    )
    print(f"{report.totals.flops_removed_percent:.1f} % of the FLOPs removed")
    assert report.verification is not None
    print(report.verification.summary())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
