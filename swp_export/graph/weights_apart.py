"""A model without its large weights, for what need not see them: protobuf holds 2 GB at most, and copies what it holds.

    initializer W [M, C, ...], large, read beside what is computed   ->   input W [M, C, ...], the last ones

Types, shapes and operations follow from small constants alone. No tool could fold such a weight, since each node that
reads it reads something that is computed too; others stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    Weights = Mapping[str, ir.TensorProtocol]

LARGE = 1 << 14
"""Bytes. Sizes, axes and scales, which shapes depend on, are a few numbers."""
FLOATS = frozenset([ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE])


def without_weights(model: ir.Model) -> tuple[ir.Model, Weights]:
    """Return a copy of `model` whose large weights are inputs, and these weights by name; `model` shares them."""
    light = model.clone()
    weights: dict[str, ir.TensorProtocol] = {}
    graph = light.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes < LARGE or tensor.dtype not in FLOATS or _may_fold(value):
            continue
        weights[name] = tensor
        del graph.initializers[name]
        value.const_value, value.type = None, ir.TensorType(tensor.dtype)
        value.shape = ir.Shape(tensor.shape.numpy())
        if value.is_graph_input():
            graph.inputs.remove(value)
        graph.inputs.append(value)
    return light, weights


def light_proto(model: ir.Model) -> onnx.ModelProto:
    """Return `model` without its large weights, for shapes and counts."""
    return ir.serde.serialize_model(without_weights(model)[0])


def put_weights(model: ir.Model, weights: Weights) -> None:
    """Make the inputs of `model` that are called as `weights` initializers again, in place."""
    graph = model.graph
    for value in [value for value in graph.inputs if value.name in weights]:
        graph.inputs.remove(value)
        value.const_value = weights[value.name or ""]
        graph.register_initializer(value)


def _may_fold(value: ir.Value) -> bool:
    """Tell whether some reader of `value` has nothing but constants, or the model gives it as it is."""
    readers = dict.fromkeys(use.node for use in value.uses())
    return value.is_graph_output() or not all(map(_is_computed, readers))


def _is_computed(node: ir.Node) -> bool:
    """Tell whether `node` reads something that no constant is."""
    return any(value is not None and ir.convenience.get_const_tensor(value) is None for value in node.inputs)
