"""Remove every channel that nothing reads: dead filters, and the input columns that would have read them.

A channel is needed if it is pinned (graph input or output, operator not understood), or if a needed row of some weight
reads it with a weight that is not exactly zero. The others go from every tensor that carries them. Before / after:

    Conv [64, 3, 3, 3] -> Relu -> Conv [64, 64, 3, 3]        22 columns of the second are zero
    Conv [42, 3, 3, 3] -> Relu -> Conv [64, 42, 3, 3]

A tensor never loses its last channel, since ONNX has no maps without any.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import ELEMENTWISE, Channels, is_depthwise, is_transposed, weight_matrix
from swp_export.graph.constants import array_of, set_input
from swp_export.graph.convolutions import set_bias, set_weight
from swp_export.graph.metadata import FILTERS, decode_order, encode_order
from swp_export.graph.operators import operator_of


class RemoveDeadChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find the needed channels, then cut every constant that is indexed by a channel."""
        graph = model.graph
        channels = Channels(graph)
        needed = _needed(graph, channels)
        modified = False
        for node in graph:
            modified |= _cut(node, channels, needed)
        for node in graph:
            for value in node.outputs:
                identities = channels.of(value)
                if identities is not None and value.shape is not None and len(value.shape) > 1:
                    dims = list(value.shape)
                    dims[1] = int(needed[identities].sum())
                    value.shape = ir.Shape(dims)
        return ir.passes.PassResult(model, modified)


def _needed(graph: ir.Graph, channels: Channels) -> np.ndarray:
    """Return bool by channel identity: the least set that is closed under being read by a needed row."""
    needed = np.zeros(len(channels), bool)
    needed[channels.pinned()] = True
    readers = []
    for node in reversed(graph):
        rows, columns = channels.of(node.outputs[0]), channels.of(node.inputs[0] if node.inputs else None)
        weight = weight_matrix(node)
        if weight is not None and rows is not None and columns is not None:
            reads = (weight.reshape(*weight.shape[:2], -1) != 0).any(axis=2)
            readers.append((rows, columns, reads))
    carried = [identities for node in graph for v in node.outputs if (identities := channels.of(v)) is not None]
    while True:
        before = needed.sum()
        for rows, columns, reads in readers:
            needed[columns[reads[needed[rows]].any(axis=0)]] = True
        for identities in carried:
            if identities.size and not needed[identities].any():
                needed[identities[0]] = True
        if needed.sum() == before:
            return needed


def _cut(node: ir.Node, channels: Channels, needed: np.ndarray) -> bool:
    """Keep the needed rows and columns of `node`'s constants; tell whether any went."""
    rows, columns = channels.of(node.outputs[0]), channels.of(node.inputs[0] if node.inputs else None)
    if rows is None:
        return False
    kept_rows = needed[rows]
    weight = weight_matrix(node)
    if weight is not None and columns is not None:
        kept_columns = needed[columns]
        if kept_rows.all() and kept_columns.all():
            return False
        _cut_weight(node, weight, kept_rows, kept_columns)
        return True
    if kept_rows.all():
        return False
    _cut_channelwise(node, kept_rows)
    return True


def _cut_channelwise(node: ir.Node, kept: np.ndarray) -> None:
    """Keep the needed channels of the constants of an operator whose output has the channels of its input."""
    if is_depthwise(node, kept.size):
        depthwise = array_of(node.inputs[1])
        assert depthwise is not None
        set_weight(node, depthwise[kept])
        _cut_bias(node, kept)
        node.attributes["group"] = ir.AttrInt64("group", int(kept.sum()))
    elif operator_of(node) == "BatchNormalization":
        for index in range(1, 5):
            parameter = array_of(node.inputs[index])
            assert parameter is not None
            set_input(node, index, str(index), parameter[kept])
    elif operator_of(node) in ELEMENTWISE:
        for index, value in enumerate(node.inputs):
            constant = array_of(value)
            if constant is not None and constant.size > 1:
                set_input(node, index, str(index), constant.reshape(-1, 1, 1)[kept])


def _cut_weight(node: ir.Node, weight: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    kept = weight[rows][:, columns]
    untransposed = operator_of(node) == "MatMul" or (operator_of(node) == "Gemm" and not is_transposed(node))
    set_weight(node, kept.T if untransposed else kept)
    _cut_bias(node, rows)
    if FILTERS in node.metadata_props:
        total, order = decode_order(node.metadata_props[FILTERS])
        node.metadata_props[FILTERS] = encode_order(total, order[rows])


def _cut_bias(node: ir.Node, rows: np.ndarray) -> None:
    bias = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None and bias.size == rows.size:
        set_bias(node, bias.reshape(-1)[rows])
