"""torch module -> dense masked graph: the same function, plain convolutions under the layers' names, open sizes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from small_models import from_bytes, ops, to_bytes
from torch import nn

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.from_torch.export import model_from_module
from swp_export.graph.metadata import FILTERS, LAYER
from swp_export.graph.pipeline import compact
from swp_export.nn import FilterStripe

if TYPE_CHECKING:
    from real_networks import Pruned


class Small(nn.Module):
    """Two striped layers around a plain one; their BatchNorms have statistics that are not trivial."""

    def __init__(self) -> None:
        super().__init__()
        self.first = FilterStripe(3, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.second = FilterStripe(6, 4, 3, stride=2)
        self.plain = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return two logits per image."""
        x = torch.relu(self.bn(self.first(x)))
        x = self.plain(torch.relu(self.second(x)))
        return self.fc(x.mean((2, 3)))


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """Return the network with a third of its stripes live, and statistics that are not trivial."""
    torch.manual_seed(0)
    module = Small().eval().requires_grad_(False)
    for layer in (module.first, module.second):
        layer.FilterSkeleton.copy_((torch.rand_like(layer.FilterSkeleton) < 0.4).float() * 0.7)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(module.bn, name).copy_(torch.rand(6) + 0.1)
    return module


@pytest.fixture(scope="module")
def exported(small: nn.Module) -> bytes:
    """Return its graph."""
    return to_bytes(model_from_module(small, (3, 8, 8)))


def test_function(small: nn.Module, exported: bytes) -> None:
    """The graph computes what the module does, at the traced size and at others, in any batch."""
    double, model = copy.deepcopy(small).double(), Float64Model(from_bytes(exported))
    for shape in ((1, 3, 8, 8), (3, 3, 9, 12)):
        x = torch.randn(shape, dtype=torch.float64)
        assert np.abs(model.run(x.numpy())["output"] - double(x).numpy()).max() < 1e-5


def test_module_is_not_changed(small: nn.Module, exported: bytes) -> None:
    """The caller's module keeps its layers and its skeletons."""
    assert isinstance(small.first, FilterStripe)
    assert not small.training
    assert len(exported) > 0


def test_names_and_skeletons(small: nn.Module, exported: bytes) -> None:
    """Every convolution bears its layer's name; stripes that are dead in the module are exactly zero."""
    layers = {conv.name: (node, conv) for node, conv in iterate_stripe_convs(from_bytes(exported).graph)}
    assert list(layers) == ["first", "second"]
    for name, (node, conv) in layers.items():
        skeleton = getattr(small, name).FilterSkeleton.numpy()
        assert np.array_equal(conv.skeleton.mask, skeleton != 0)
        assert node.metadata_props[LAYER] == name
        assert FILTERS in node.metadata_props


def test_form(exported: bytes) -> None:
    """Opset 18, BatchNorm folded, one input and one output under their names, batch and sizes open."""
    model = from_bytes(exported)
    onnx.checker.check_model(exported, full_check=True)
    assert model.opset_imports == {"": 18}
    assert "BatchNormalization" not in ops(model)
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["input", "output"]
    shape = model.graph.inputs[0].shape
    assert shape is not None
    assert [str(dim) if isinstance(dim, ir.SymbolicDim) else dim for dim in shape] == ["batch", 3, "height", "width"]


@pytest.mark.parametrize("network", ["resnet56", "vgg16"])
def test_real_networks_keep_their_names(network: str, request: pytest.FixtureRequest) -> None:
    """The layers of a real network bear the names of their checkpoint, in order of execution."""
    pruned: Pruned = request.getfixturevalue(network)
    names = [conv.name for _, conv in iterate_stripe_convs(from_bytes(pruned.dense).graph)]
    if network == "resnet56":
        blocks = [
            f"layer{stage}.{index}.conv{number}" for stage in (1, 2, 3) for index in range(9) for number in (1, 2)
        ]
        assert [name for name in names if "downsample" not in name] == ["conv1", *blocks]
        assert len(names) == 57
    else:
        assert len(names) == 13
        assert all(name.startswith("features.") for name in names)


@pytest.mark.parametrize("output_size", [(7, 7), (1, 1), (3, None)])
def test_adaptive_pooling_of_any_size(output_size: tuple[int, int | None]) -> None:
    """The windows are those of the size that the model is given, not of the one that was traced."""
    torch.manual_seed(0)
    module = nn.Sequential(FilterStripe(3, 4, 3), nn.AdaptiveAvgPool2d(output_size)).eval().requires_grad_(False)
    model = Float64Model(model_from_module(module, (3, 6, 7)))
    module.double()
    for height, width in ((6, 7), (7, 14), (1, 1), (2, 5), (30, 31)):
        x = torch.randn(2, 3, height, width, dtype=torch.float64)
        assert np.abs(model.run(x.numpy())["output"] - module(x).numpy()).max() < 1e-6


def test_dead_filters_are_followed_through_adaptive_pooling() -> None:
    """A filter that is zero goes from the classifier behind the pooling too."""
    torch.manual_seed(0)
    layers = (FilterStripe(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(36, 5))
    module = nn.Sequential(*layers).eval().requires_grad_(False)
    module[0].FilterSkeleton[[1, 4]] = 0
    model = compact(model_from_module(module, (3, 8, 8)))
    (gemm,) = [node for node in model.graph if node.op_type == "Gemm"]
    weight = array_of(gemm.inputs[1])
    assert weight is not None
    assert weight.shape == (5, 24)
    x = torch.randn(2, 3, 9, 5)
    assert np.abs(Float64Model(model).run(x.numpy())["output"] - module(x).numpy()).max() < 1e-6


def test_what_cannot_be_followed() -> None:
    """A module that branches on its data is an error with a reason, in one line."""

    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(ModelError, match="cannot follow this network") as caught:
        model_from_module(Branches(), (3, 8, 8))
    assert "\n" not in str(caught.value)
