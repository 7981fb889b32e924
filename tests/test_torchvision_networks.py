"""Networks that swp-export does not know: torchvision's convert, train a step, prune and export."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

import swp_export
from swp_export.architectures import resolve_architecture
from swp_export.nn import FilterStripe, SkeletonUpdate

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZES = {
    "resnet18": 64,
    "vgg16_bn": 32,
    "densenet121": 64,
    "googlenet": 64,
    "mobilenet_v3_small": 64,
    "efficientnet_b0": 64,
    "inception_v3": 80,
}
FEW_SKELETONS = {"mobilenet_v3_small", "efficientnet_b0"}
"""Their first convolution is the only one that is neither depthwise nor 1x1."""


class NarrowLinear(nn.Linear):
    """64 where torchvision has 4096: the classifier of VGG16 has 120 million weights, and no convolution."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(*(64 if features == 4096 else features for features in (in_features, out_features)), bias)


def with_smaller_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make VGG16's classifier narrow, and DenseNet121's blocks of 2 layers each in place of up to 24.

    All kinds of layers stay, and all that reads them; tests/networks has DenseNet121 at its full depth.
    """
    densenet = models.densenet._densenet
    monkeypatch.setattr(
        models.densenet,
        "_densenet",
        lambda growth, _, *rest, **options: densenet(growth, (2, 2, 2, 2), *rest, **options),
    )
    monkeypatch.setattr(models.vgg, "nn", SimpleNamespace(**(vars(nn) | {"Linear": NarrowLinear})))


@pytest.mark.parametrize("name", SIZES)
def test_from_constructor_to_onnx(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of training moves weights and skeletons; dead filters leave the graph; the result is equivalent."""
    monkeypatch.syspath_prepend(EXAMPLES)
    with_smaller_repetition(monkeypatch)
    torch.manual_seed(0)
    size = SIZES[name]
    network = resolve_architecture(f"torchvision_networks:{name}").constructor(10)
    skeletons = [layer for layer in network.modules() if isinstance(layer, FilterStripe)]
    assert (len(skeletons) == 1) == (name in FEW_SKELETONS)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    SkeletonUpdate(network, sr=1e-5, threshold=0.01).attach(optimizer)
    functional.cross_entropy(network(torch.randn(4, 3, size, size)), torch.arange(4)).backward()
    optimizer.step()
    assert any(bool((layer.FilterSkeleton != 1).any()) for layer in skeletons)
    with torch.no_grad():
        for layer in skeletons:
            layer.FilterSkeleton[torch.rand_like(layer.FilterSkeleton) < 0.6] = 0
            layer.FilterSkeleton[: len(layer.FilterSkeleton) // 4] = 0
    torch.save(network.state_dict(), tmp_path / "network.pth")
    report = swp_export.prune(
        tmp_path / "network.pth",
        arch=f"torchvision_networks:{name}",
        threshold=0.01,
        input_shape=(3, size, size),
        output=tmp_path / "network.onnx",
    )
    assert report.verification is not None
    assert report.verification.equivalent
    assert {layer.name for layer in report.layers if layer.live_stripes < layer.stripes} == {
        key for key, layer in network.named_modules() if isinstance(layer, FilterStripe)
    }
    assert report.totals.paper_params_after < report.totals.paper_params_before
    assert "torchvision_networks" in sys.modules
