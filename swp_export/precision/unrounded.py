"""A QDQ model as the float model that it would be if nothing but its weights had been rounded."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of, register_initializer, unique_name, value_names
from swp_export.graph.metadata import WITHIN
from swp_export.graph.operators.naming import operator_of


def unrounded(model: ir.Model) -> None:
    """Take every QuantizeLinear out of `model`, in place; one that cuts off what is below 0 becomes a Relu.

    Raises:
        ModelError: its scales are not constant.

    """
    graph = model.graph
    taken = value_names(graph)
    for node in [node for node in graph if operator_of(node) == "DequantizeLinear"]:
        source, value = node.inputs[0], node.outputs[0]
        rounding = None if source is None else source.producer()
        if rounding is None or operator_of(rounding) != "QuantizeLinear":
            stands_for = register_initializer(
                graph, unique_name(f"{value.name}/stored", taken), stored(node).astype(np.float32)
            )
        elif _cuts_off(rounding):
            relu = ir.Node(
                "", "Relu", [rounding.inputs[0]], num_outputs=1, name=unique_name(f"{node.name}/relu", taken)
            )
            relu.outputs[0].name, relu.outputs[0].type = relu.name, ir.TensorType(ir.DataType.FLOAT)
            graph.insert_after(rounding, relu)
            stands_for = relu.outputs[0]
        else:
            assert rounding.inputs[0] is not None
            stands_for = rounding.inputs[0]
        _replace(graph, value, stands_for)
        graph.remove(node, safe=True)
    for node in [node for node in graph if operator_of(node) == "QuantizeLinear" or WITHIN in node.metadata_props]:
        if WITHIN in node.metadata_props and node.inputs[0] is not None:
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])
        graph.remove(node, safe=True)


def stored(node: ir.Node) -> np.ndarray:
    """Return what a DequantizeLinear makes of stored integers, in float64.

    Raises:
        ModelError: they are not stored, or not about 0 along the first axis.

    """
    integers, scale = array_of(node.inputs[0]), array_of(node.inputs[1])
    zero = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    axis = node.attributes.get_int("axis", 1)
    usable = scale is not None and (scale.size == 1 or axis == 0) and (zero is None or not zero.any())
    if integers is None or scale is None or not usable:
        raise ModelError(f"{node.name}: expected stored integers about 0 and a constant scale for each filter")
    shape = [-1 if at == 0 and scale.size > 1 else 1 for at in range(integers.ndim)]
    return np.asarray(integers.astype(np.float64) * scale.astype(np.float64).reshape(shape))


def _cuts_off(rounding: ir.Node) -> bool:
    zero = array_of(rounding.inputs[2]) if len(rounding.inputs) > 2 else None
    if zero is None or zero.size != 1:
        raise ModelError(f"{rounding.name}: expected one constant zero point")
    return int(zero.reshape(())) == np.iinfo(zero.dtype).min


def _replace(graph: ir.Graph, value: ir.Value, by: ir.Value) -> None:
    """Let all that reads `value` read `by`, and an output of the graph keep its name."""
    name, is_output = value.name, value.is_graph_output()
    ir.convenience.replace_all_uses_with(value, by)
    if is_output:
        value.name, by.name = f"{name}/rounded", name
        graph.outputs[:] = [by if output is value else output for output in graph.outputs]
