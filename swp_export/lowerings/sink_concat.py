"""The Concat of a layer written in groups, moved behind the operators that act on each channel alone, and back.

    SinkConcat:   MaxPool(Relu(Concat(a, b)))           ->  Concat(MaxPool(Relu(a)), MaxPool(Relu(b)))
    RaiseConcat:  Concat(MaxPool(Relu(a)), MaxPool(Relu(b)))  ->  MaxPool(Relu(Concat(a, b)))

Exact: Relu acts on each element, MaxPool on each channel's map. ONNX Runtime fuses a Relu into a convolution, never
into a Concat, and behind a pool there is a quarter left to copy. Where a branch ends in another operator, as those that
Sum adds do, there would only be more nodes. A layer is lifted, or its own output looked at, after
its Concat has been raised.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.constants import unique_name, value_names
from swp_export.graph.metadata import LAYER, SUNK, decode_names, encode_names
from swp_export.graph.operators.naming import operator_of

CHANNELWISE = frozenset(["MaxPool", "Relu"])
FUSING = frozenset(["Conv", "Add"])
"""What ONNX Runtime fuses a Relu into; an Add of two convolutions is one of them."""


class SinkConcat(ir.passes.InPlacePass):
    """Move each layer's Concat behind what alone reads it."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every reader of a Concat in execution order, so that the next one follows in the same run."""
        modified = False
        for reader in list(model.graph):
            source = reader.inputs[0] if reader.inputs else None
            concat = None if source is None else source.producer()
            if concat is None or not _is_of_layer(concat) or not _is_channelwise(reader):
                continue
            if not all(_fuses(value) for value in concat.inputs):
                continue
            if _is_private(concat.outputs[0]) and not reader.outputs[0].is_graph_output():
                _swap(model.graph, concat, reader)
                modified = True
        return ir.passes.PassResult(model, modified)


class RaiseConcat(ir.passes.InPlacePass):
    """Move each layer's Concat back before the operators that SinkConcat moved into its branches."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every layer's Concat."""
        modified = False
        for concat in [node for node in model.graph if _is_of_layer(node)]:
            while (branches := _branches(concat)) is not None:
                _join(model.graph, concat, branches)
                modified = True
        return ir.passes.PassResult(model, modified)


def _swap(graph: ir.Graph, concat: ir.Node, reader: ir.Node) -> None:
    """Put a copy of `reader` into every branch of `concat`, and `concat` behind them."""
    taken = _names(graph)
    names = encode_names(reader)
    for index, branch in enumerate(concat.inputs):
        assert branch is not None
        copy = _copy(reader, branch, f"{reader.name or reader.outputs[0].name}_{index}", taken)
        copy.metadata_props[SUNK] = names
        graph.insert_before(concat, copy)
        concat.replace_input_with(index, copy.outputs[0])
    ir.convenience.replace_all_uses_with(reader.outputs[0], concat.outputs[0])
    graph.remove(reader, safe=True)


def _branches(concat: ir.Node) -> list[ir.Node] | None:
    """Return what computes the inputs of `concat`, if that is the same channelwise operator for all of them."""
    nodes = [None if value is None or not _is_private(value) else value.producer() for value in concat.inputs]
    found = [node for node in nodes if node is not None and _is_channelwise(node)]
    alike = len(found) == len(nodes) and len({(node.op_type, str(node.attributes)) for node in found}) == 1
    return found if alike and not concat.outputs[0].is_graph_output() else None


def _join(graph: ir.Graph, concat: ir.Node, branches: list[ir.Node]) -> None:
    taken = _names(graph)
    joined = _copy(branches[0], concat.outputs[0], f"{concat.name}_{branches[0].op_type.lower()}", taken)
    if SUNK in branches[0].metadata_props:
        node_name, output_name = decode_names(branches[0].metadata_props[SUNK])
        joined.name, joined.outputs[0].name = node_name, unique_name(output_name, taken)
    for use in list(concat.outputs[0].uses()):
        if use.node is not joined:
            use.node.replace_input_with(use.idx, joined.outputs[0])
    graph.insert_after(concat, joined)
    for index, branch in enumerate(branches):
        concat.replace_input_with(index, branch.inputs[0])
        graph.remove(branch, safe=True)


def _copy(node: ir.Node, source: ir.Value, name: str, taken: set[str]) -> ir.Node:
    """Return `node` on `source`, under `name` made unique."""
    unique = unique_name(name, taken)
    output = ir.Value(name=unique, type=node.outputs[0].type)
    return ir.Node(node.domain, node.op_type, [source], node.attributes.values(), outputs=[output], name=unique)


def _is_of_layer(node: ir.Node) -> bool:
    return operator_of(node) == "Concat" and LAYER in node.metadata_props


def _is_channelwise(node: ir.Node) -> bool:
    return operator_of(node) in CHANNELWISE and len(node.outputs) == 1


def _fuses(branch: ir.Value | None) -> bool:
    """Tell whether `branch` is what a Relu is fused into, or has been sunk into already."""
    producer = None if branch is None else branch.producer()
    return producer is not None and (operator_of(producer) in FUSING or _is_channelwise(producer))


def _is_private(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _names(graph: ir.Graph) -> set[str]:
    return value_names(graph) | {node.name for node in graph if node.name}
