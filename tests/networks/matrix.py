"""The networks that people have: torchvision's and written ones, each with the size of its input.

Widths are reduced where the network allows it and where it would cost seconds: kinds of layers never are.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import TYPE_CHECKING, Any

import torch
from damage import damaged
from torch import nn
from torchvision import models
from torchvision.models import convnext, inception, resnet, vgg
from torchvision.models.googlenet import BasicConv2d, Inception, InceptionAux
from written import DeepLab, Detector, FaceResNet, PreActivationResNet, SqueezeExciteResNet, UNet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """A row of the matrix.

    Attributes:
        make: returns the untrained network.
        size: height and width of its input.
        open_size: it is exported for images of any size.
        dead_linears: rows of its Linear layers die too.

    """

    make: Callable[[], nn.Module]
    size: int
    open_size: bool = False
    dead_linears: bool = False

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of one image."""
        return (3, self.size, self.size)


def damaged_network(network: Network) -> nn.Module:
    """Return the network of that row, with dead filters, in eval mode."""
    torch.manual_seed(0)  # some weights stay as torch makes them
    return damaged(network.make(), network.input_shape, linears=network.dead_linears)


def export_in_the_older_way(network: Network, module: nn.Module, path: Path) -> None:
    """Write `module` by torch's exporter that traces: other shapes of the same network, and much faster."""
    sizes = {0: "batch", 2: "height", 3: "width"} if network.open_size else {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one, and what its tracing fixes
        torch.onnx.export(
            module,
            (torch.zeros(2, *network.input_shape),),
            path,
            dynamo=False,
            input_names=["images"],
            dynamic_axes={"images": sizes},
            opset_version=17,
        )


def export(network: Network, module: nn.Module, path: Path) -> None:
    """Write `module` as people do: torch's exporter with its defaults, any number of images."""
    dynamic = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        module,
        (torch.zeros(2, *network.input_shape),),
        path,
        dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic} if network.open_size else {0: dynamic},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


class _NarrowResNet(resnet.ResNet):
    """torchvision's ResNet with a share of its channels."""

    share = 2

    def _make_layer(self, block: type[nn.Module], planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        if planes == 64:
            self.inplanes //= self.share
            self.conv1 = nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
        return super()._make_layer(block, planes // self.share, *args, **kwargs)


class _QuarterResNet(_NarrowResNet):
    share = 4


def _resnet(kind: type[_NarrowResNet], block: type[nn.Module], depths: list[int], **options: int) -> nn.Module:
    network = kind(block, depths, **options)
    network.fc = nn.Linear(network.fc.in_features // kind.share, 100)
    return network


def _alexnet() -> nn.Module:
    network = models.alexnet()
    network.avgpool = nn.AdaptiveAvgPool2d(2)
    network.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 4, 512), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(512, 100)
    )
    return network


def _vgg16_bn() -> nn.Module:
    """Return it without going through torchvision's class, which makes a classifier of 120 million weights."""
    widths = [value if isinstance(value, str) else value // 2 for value in vgg.cfgs["D"]]
    return nn.Sequential(
        vgg.make_layers(widths, batch_norm=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 100),
    )  # fmt: skip


class _HalfOfGoogLeNet(BasicConv2d):
    def __init__(self, channels: int, filters: int, **options: Any) -> None:
        super().__init__(channels if channels == 3 else channels // 2, filters // 2, **options)


class _HalfOfInception(inception.BasicConv2d):
    def __init__(self, channels: int, filters: int, **options: Any) -> None:
        super().__init__(channels if channels == 3 else channels // 2, filters // 2, **options)


def _googlenet() -> nn.Module:
    blocks = [
        _HalfOfGoogLeNet, functools.partial(Inception, conv_block=_HalfOfGoogLeNet), InceptionAux
    ]  # fmt: skip
    network = models.GoogLeNet(aux_logits=False, init_weights=False, blocks=blocks)
    network.fc = nn.Linear(512, 100)
    return network


def _inception_v3() -> nn.Module:
    kinds = (
        inception.InceptionA, inception.InceptionB, inception.InceptionC, inception.InceptionD, inception.InceptionE
    )  # fmt: skip
    blocks = [_HalfOfInception, *(functools.partial(kind, conv_block=_HalfOfInception) for kind in kinds)]
    network = models.Inception3(
        aux_logits=False, init_weights=False, inception_blocks=[*blocks, inception.InceptionAux]
    )
    network.fc = nn.Linear(1024, 100)
    return network


def _convnext_tiny() -> nn.Module:
    widths, depths = (32, 64, 128, 256, None), (3, 3, 9, 3)
    setting = [
        convnext.CNBlockConfig(width, following, depth)
        for width, following, depth in zip(widths, widths[1:], depths, strict=False)
    ]
    network = convnext.ConvNeXt(setting, num_classes=100)
    for name, parameter in network.named_parameters():
        if name.endswith("layer_scale"):  # 1e-6 at first: then no block would move an output in float32
            nn.init.uniform_(parameter, 0.5, 1.0)
    return network


_bottleneck = functools.partial(_resnet, block=resnet.Bottleneck, depths=[3, 4, 6, 3])

NETWORKS = {
    "alexnet": Network(make=_alexnet, size=96, dead_linears=True),
    "vgg16_bn": Network(make=_vgg16_bn, size=32, dead_linears=True),
    "resnet18": Network(make=functools.partial(_resnet, _NarrowResNet, resnet.BasicBlock, [2, 2, 2, 2]), size=64),
    "resnet50": Network(make=functools.partial(_bottleneck, _QuarterResNet), size=64),
    # The block is what differs from ResNet50, so two of it in each stage do.
    # Groups of 4, 8, 16 and 32 channels as there, 8 of them.
    "resnext50_32x4d": Network(
        make=functools.partial(_bottleneck, _QuarterResNet, depths=[2, 2, 2, 2], groups=8, width_per_group=16), size=64
    ),
    "wide_resnet50_2": Network(
        make=functools.partial(_bottleneck, _QuarterResNet, depths=[2, 2, 2, 2], width_per_group=128), size=64
    ),
    "densenet121": Network(make=functools.partial(models.DenseNet, 16, (6, 12, 24, 16), 32, num_classes=100), size=64),
    "googlenet": Network(make=_googlenet, size=64),
    "inception_v3": Network(make=_inception_v3, size=107),
    "squeezenet1_1": Network(make=functools.partial(models.squeezenet1_1, num_classes=100), size=64),
    "mobilenet_v2": Network(make=models.mobilenet_v2, size=64),
    "mobilenet_v3_small": Network(make=models.mobilenet_v3_small, size=64),
    "shufflenet_v2_x1_0": Network(make=models.shufflenet_v2_x1_0, size=64),
    "mnasnet1_0": Network(make=models.mnasnet1_0, size=64),
    "efficientnet_b0": Network(make=models.efficientnet_b0, size=64),
    "regnet_y_400mf": Network(make=models.regnet_y_400mf, size=64),
    "convnext_tiny": Network(make=_convnext_tiny, size=64),
    "detector": Network(make=Detector, size=64, open_size=True),
    "unet": Network(make=UNet, size=32, open_size=True),
    "squeeze_excite_linear": Network(make=SqueezeExciteResNet, size=32, dead_linears=True),
    "preactivation": Network(make=PreActivationResNet, size=32),
    "deeplab": Network(make=DeepLab, size=64),
    "face_resnet": Network(make=FaceResNet, size=32),
}
