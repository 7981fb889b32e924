"""Take torchvision's networks to ONNX: `swp_export.nn.convert` gives their convolutions Filter Skeletons.

From the folder `examples/`, with images in `data/train/<class>/` and `data/val/<class>/`:

    swp-export train --arch torchvision_networks:resnet18 --dataset imagefolder --epochs 90 --save runs/resnet18
    swp-export prune runs/resnet18/network.pth --arch torchvision_networks:resnet18

Needs torchvision, which is in the extra `train`. `tests/test_torchvision_networks.py` takes each network that way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchvision import models

from swp_export.nn import convert

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
