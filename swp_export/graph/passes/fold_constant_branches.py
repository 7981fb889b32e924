"""Replace an operand of an Add that is constant on all its channels: the dead branch of a residual block.

    Add(x, branch), branch constant c [C]   ->   Add(x, c)            c as [C, 1, 1], one axis fewer than x
    Add(Conv(x), c), Conv read only here    ->   Conv(x), bias + c
    Add(x, 0)                               ->   x

The convolutions of the branch then have no readers and are removed. Only where `x` has the shape of the sum: a map that
was broadcast would lose its size.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.constant_channels import constant_channels
from swp_export.graph.constants import array_of, set_input
from swp_export.graph.metadata import FILTERS
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import rank_of
from swp_export.graph.operators.table import weighted, weights_of


class FoldConstantBranches(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every two-operand Add."""
        constants = constant_channels(model.graph)
        modified = False
        for node in list(model.graph):
            if operator_of(node) != "Add":
                continue
            for index in (0, 1):
                branch, other = node.inputs[index], node.inputs[1 - index]
                known = _constant(branch, constants, rank_of(other))
                if known is None or not _has_shape_of_sum(other, node.outputs[0], known.size):
                    continue
                if array_of(branch) is None:
                    assert branch is not None
                    dtype = (branch.dtype or ir.DataType.FLOAT).numpy()
                    behind = (1,) * (len(node.outputs[0].shape or ()) - 2)
                    set_input(node, index, "constant", known.astype(dtype).reshape(-1, *behind))
                    modified = True
                if _absorb(node, other, known):
                    modified = True
                    _take_over(constants, node.outputs[0], other)
                break
        return ir.passes.PassResult(model, modified)


def _constant(value: ir.Value | None, constants: dict[ir.Value, np.ndarray], rank: int | None) -> np.ndarray | None:
    """Return the constants `[C]` of an operand, beside one of `rank` axes, that is constant on all its channels."""
    array = array_of(value)
    if array is not None:
        per_channel = rank == array.ndim + 1 and array.shape[1:] == (1,) * (array.ndim - 1)
        return array.astype(np.float64).reshape(-1) if per_channel else None
    known = constants.get(value) if value is not None else None
    return None if known is None or np.isnan(known).any() else known


def _absorb(node: ir.Node, other: ir.Value | None, known: np.ndarray) -> bool:
    """Drop the Add where the constant is zero or the other operand's convolution can take it as bias."""
    assert other is not None
    graph, output = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    if output.is_graph_output():
        return False
    if known.any():
        producer = other.producer()
        weights, rule = (None, None) if producer is None else (weights_of(producer), weighted(producer))
        if producer is None or weights is None or rule is None or not weights.holds_bias or weights.axis != 1:
            return False
        if len(other.uses()) != 1 or other.is_graph_output():
            return False
        rule.replace(producer, weights.weight, weights.biases().astype(np.float64) + known, weights.group)
        producer.metadata_props.pop(FILTERS, None)  # what it computes is no longer the layer's own output
    ir.convenience.replace_all_uses_with(output, other)
    graph.remove(node, safe=True)
    return True


def _take_over(constants: dict[ir.Value, np.ndarray], total: ir.Value, operand: ir.Value | None) -> None:
    """Let `operand`, which now holds the sum, have the constants of the sum, so that later Adds see no stale ones."""
    assert operand is not None
    constants.pop(operand, None)
    if total in constants:
        constants[operand] = constants[total]


def _has_shape_of_sum(operand: ir.Value | None, total: ir.Value, channels: int) -> bool:
    if operand is None or array_of(operand) is not None or operand.shape is None or total.shape is None:
        return False
    if any(isinstance(size, ir.SymbolicDim) and size.value is None for size in operand.shape):
        return False
    return list(operand.shape) == list(total.shape) and operand.shape[1] == channels
