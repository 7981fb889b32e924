"""Chains of the table's rows between convolutions with dead filters: whatever a row claims, what is computed stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from small_models import copied, weights

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.normalise import normalised
from swp_export.graph.operators.examples import MAPS
from swp_export.graph.operators.operator import Tensor
from swp_export.graph.operators.table import OPERATORS
from swp_export.graph.pipeline import compact

if TYPE_CHECKING:
    from swp_export.graph.operators.operator import Example

OPSET = 18
CHANNELS = MAPS.shape[1]
NOISE = 1e-6
"""MeanVarianceNormalization of a constant divides rounding by 1e-9."""
FITTING = {MAPS.shape, (2, CHANNELS, 1, 1), (2, 1, *MAPS.shape[2:])}
"""Shapes that can be made of maps without touching the order of their channels."""


def fits(example: Example) -> bool:
    """Tell whether the example's inputs can be made of maps."""
    computed = [value for value in example.inputs if isinstance(value, Tensor)]
    return (
        example.since <= OPSET <= example.until
        and any(value.shape == MAPS.shape for value in computed)
        and all(value.shape in FITTING and value.dtype == "float32" for value in computed)
    )


ROWS = [(name, example) for name, operator in OPERATORS.items() for example in operator.examples if fits(example)]


class _Chain:
    """The nodes and constants of a graph under construction, in float64."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(array)
        array = array.astype(np.float64) if array.dtype == np.float32 else array
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def convolution(self, source: str, filters: int, channels: int, dead: float = 0.4, size: int = 1) -> str:
        weight = weights(self.rng, filters, channels, size, size, dead=np.flatnonzero(self.rng.random(filters) < dead))
        bias = self.constant(self.rng.normal(size=filters))
        return self.node("Conv", source, self.constant(weight), bias, pads=[size // 2] * 4)[0]

    def input_of(self, tensor: Tensor, maps: str) -> str:
        """Return what has the shape and the range of `tensor`, made of `maps`."""
        if tensor.shape[1] == 1:
            maps = self.convolution(maps, 1, CHANNELS, dead=0.1)
        else:
            maps = self.convolution(maps, CHANNELS, CHANNELS)
        if tensor.shape[2:] == (1, 1):
            maps = self.node("GlobalAveragePool", maps)[0]
        (unit,) = self.node("Sigmoid", maps)
        scaled = self.node("Mul", unit, self.constant(np.float64(tensor.high - tensor.low)))
        return self.node("Add", *scaled, self.constant(np.float64(tensor.low)))[0]

    def row(self, name: str, example: Example, maps: str) -> list[str]:
        """Add the example, on tensors made of `maps`."""
        inputs = [
            "" if value is None
            else self.input_of(value, maps) if isinstance(value, Tensor)
            else self.constant(value)
            for value in example.inputs
        ]  # fmt: skip
        return self.node(name, *inputs, outputs=example.outputs, **example.attributes)

    def model(self, outputs: list[str]) -> ir.Model:
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, [2, 3, *MAPS.shape[2:]])],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True))


@st.composite
def chains(draw: st.DrawFn) -> ir.Model:
    """Draw one to three rows in a row, as long as each gives maps again; a convolution before and behind."""
    chain = _Chain(np.random.default_rng(draw(st.integers(0, 2**16))))
    maps = chain.convolution("x", CHANNELS, 3, size=3)
    for _ in range(draw(st.integers(1, 3))):
        outputs = chain.row(*draw(st.sampled_from(ROWS)), maps)
        shapes = {
            value.name: value.shape for node in chain.model(outputs).graph for value in node.outputs if value.shape
        }
        found = shapes.get(outputs[0])
        if found is None or list(found) != list(MAPS.shape) or len(outputs) > 1:
            return chain.model(outputs)
        (maps,) = outputs
    return chain.model([chain.convolution(maps, 4, CHANNELS, size=draw(st.sampled_from([1, 3])))])


@settings(max_examples=100)
@given(model=chains())
def test_the_function_stays(model: ir.Model) -> None:
    """Pruning a chain of any rows changes no output."""
    before = normalised(model, "model")
    after = compact(copied(before))
    x = np.random.default_rng(0).normal(size=(2, 3, *MAPS.shape[2:]))
    for images in (x, 0 * x):
        truth, found = Float64Model(before).run(images), Float64Model(after).run(images)
        assume(all(np.isfinite(value).all() for value in truth.values()))
        assert truth.keys() == found.keys()
        for name, expected in truth.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=NOISE)
