"""The suite's own economy: a network whose structure was exported before gets the exporter's graph all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
import torch
from shared_exports import SharedExports, structure_of
from small_models import copied, ops
from torch import nn

from swp_export.graph.from_torch import export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SHAPE = (3, 6, 6)


def network(**convolution: int) -> nn.Sequential:
    """Return a convolution without a bias, BatchNorm with statistics of its own, and a classifier."""
    settings = {"kernel_size": 3, "bias": False} | convolution
    layers = (nn.Conv2d(3, 4, **settings), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    made = nn.Sequential(*layers).eval()
    for tensor in (*made.parameters(), *made.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape) + 0.1
    return made


def attributes(node: ir.Node) -> list[ir.Attr]:
    """Return what the node has, by name."""
    return [attribute for _, attribute in sorted(node.attributes.items())]


def number(attribute: ir.Attr) -> tuple[str, object]:
    """Return its name, and what it holds in a form that can be compared."""
    tensor = attribute.type == ir.AttributeType.TENSOR
    value = attribute.as_tensor().numpy().tolist() if tensor else attribute.value
    return attribute.name, list(value) if isinstance(value, (list, tuple)) else value


def contents(model: ir.Model) -> list[object]:
    """Return nodes with their attributes, and the numbers of each initializer."""
    nodes = [
        (node.op_type, [value and value.name for value in node.inputs], [number(each) for each in attributes(node)])
        for node in model.graph
    ]
    numbers = {name: value.const_value.numpy().tolist() for name, value in model.graph.initializers.items()}
    return [nodes, dict(sorted(numbers.items()))]


@pytest.mark.usefixtures("exporter")
def test_the_exporter_is_asked_once(tmp_path: Path) -> None:
    """The second network of a structure gets its own weights in the first one's graph: what the exporter gives too."""
    asked: list[nn.Module] = []

    def real(module: nn.Module, input_shape: tuple[int, int, int]) -> ir.Model:
        asked.append(module)
        return export._exported(module, input_shape)

    shared, (first, second) = SharedExports(real, tmp_path), (network(), network())
    models = [shared(module, SHAPE) for module in (first, second)]
    assert asked == [first]
    assert contents(models[1]) == contents(copied(export._exported(second, SHAPE)))
    assert contents(models[1]) != contents(models[0])
    assert "Conv" in ops(models[1])
    weight = models[1].graph.initializers["0.weight"].const_value
    assert weight is not None
    assert np.array_equal(weight.numpy(), second[0].weight.detach().numpy())


class Other(nn.Sequential):
    """Another class, which may do other things with the same layers."""


@pytest.mark.parametrize(
    "other",
    [
        lambda: network(padding=1),
        lambda: network(kernel_size=1),
        lambda: network(bias=True),
        lambda: network().train(),
        lambda: network().double(),
        lambda: Other(*network()),
        lambda: nn.Sequential(*network(), nn.ReLU()),
    ],
)
def test_another_structure(other: Callable[[], nn.Module]) -> None:
    """What could change the graph changes the structure; weights do not."""
    assert structure_of(network(), SHAPE) == structure_of(network(), SHAPE)
    assert structure_of(other(), SHAPE) != structure_of(network(), SHAPE)
    assert structure_of(network(), (3, 7, 6)) != structure_of(network(), SHAPE)


def test_what_has_no_name() -> None:
    """A class within a function, a function among the settings, a hook: each is exported every time."""

    class Local(nn.Sequential):
        pass

    with_function, with_hook = network(), network()
    with_function.activation = torch.relu
    with_hook[0].register_forward_hook(lambda *_: None)
    for module in (Local(*network()), with_function, with_hook):
        assert structure_of(module, SHAPE) is None
