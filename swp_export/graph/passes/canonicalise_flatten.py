"""Write every Reshape that only flattens as Flatten, so that the channels can be followed into the classifier.

    Reshape [N, C, H, W] -> [N, D]    ->    Flatten(axis=1)

A Reshape flattens if its output has two axes, the first of which is the batch: by the symbols of the shapes, or since
the target is the constant `[0, …]`, or `[-1, D]` with D = C*H*W. D is taken from the matrix that reads the output where
the shape does not state it.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from swp_export.graph.constants import array_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import weights_of


class CanonicaliseFlatten(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Reshape and Flatten."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "Reshape" and _flattens(node):
                node.op_type = "Flatten"
                node.resize_inputs(1)
                node.attributes.clear()
                node.attributes["axis"] = ir.AttrInt64("axis", 1)
                modified = True
            if operator_of(node) == "Flatten":
                _state_columns(node)
        return ir.passes.PassResult(model, modified)


def _flattens(node: ir.Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None or len(source.shape) != 4:
        return False
    target = array_of(node.inputs[1])
    if target is not None and target.size == 2:
        allows_zero = "allowzero" in node.attributes and node.attributes["allowzero"].as_int() == 1
        if target[0] == 0 and not allows_zero:
            return True
        columns = [dim for dim in list(source.shape)[1:] if isinstance(dim, int)]
        if target[0] == -1 and len(columns) == 3:
            return math.prod(columns) == int(target[1])
    shape = output.shape
    if shape is None or len(shape) != 2 or shape[0] != source.shape[0]:
        return False
    return isinstance(shape[0], int) or shape[0].value is not None


def _state_columns(node: ir.Node) -> None:
    """Complete the shape `[N, D]` of a Flatten's output from the weight that reads it."""
    output, source = node.outputs[0], node.inputs[0]
    if "axis" in node.attributes and node.attributes["axis"].as_int() != 1:
        return
    if output.shape is not None and len(output.shape) == 2 and isinstance(output.shape[1], int):
        return
    for use in output.uses():
        weights = weights_of(use.node)
        if weights is not None and source is not None and source.shape is not None:
            output.shape = ir.Shape([source.shape[0], weights.channels])
