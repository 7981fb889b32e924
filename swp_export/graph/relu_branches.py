"""A Relu after the Concat of a layer written in groups, moved before it into every branch, and back.

    SplitRelu:  Relu(Concat(a, b))        ->  Concat(Relu(a), Relu(b))
    JoinRelu:   Concat(Relu(a), Relu(b))  ->  Relu(Concat(a, b))

Exact: Relu acts on each element. ONNX Runtime fuses a Relu into a convolution, never into a Concat; a model is lifted,
or a layer's own output looked at, after the Relu has been put back.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.constants import value_names
from swp_export.graph.convolutions import LAYER


class SplitRelu(ir.passes.InPlacePass):
    """Move each Relu that is all that reads a layer's Concat into its branches."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Relu."""
        modified = False
        for relu in list(model.graph):
            concat = relu.inputs[0].producer() if relu.op_type == "Relu" and relu.inputs[0] is not None else None
            if concat is None or not _is_of_layer(concat) or not _is_private(concat.outputs[0]):
                continue
            if relu.outputs[0].is_graph_output():
                continue
            names = _names(model.graph)
            for index, branch in enumerate(concat.inputs):
                assert branch is not None
                name = _unique(f"{relu.name or relu.outputs[0].name}_{index}", names)
                part = ir.node("Relu", [branch], name=name)
                part.outputs[0].name = name
                model.graph.insert_before(concat, part)
                concat.replace_input_with(index, part.outputs[0])
            ir.convenience.replace_all_uses_with(relu.outputs[0], concat.outputs[0])
            model.graph.remove(relu, safe=True)
            modified = True
        return ir.passes.PassResult(model, modified)


class JoinRelu(ir.passes.InPlacePass):
    """Put the Relus of all branches of a layer's Concat behind it, as one."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every layer's Concat."""
        modified = False
        for concat in list(model.graph):
            branches = [value.producer() for value in concat.inputs if value is not None]
            if not _is_of_layer(concat) or concat.outputs[0].is_graph_output():
                continue
            relus = [node for node in branches if node is not None and node.op_type == "Relu"]
            if len(relus) != len(concat.inputs) or not all(_is_private(relu.outputs[0]) for relu in relus):
                continue
            joined = ir.node("Relu", [concat.outputs[0]], name=_unique(f"{concat.name}_relu", _names(model.graph)))
            joined.outputs[0].name = joined.name
            for user, index in [(use.node, use.idx) for use in concat.outputs[0].uses() if use.node is not joined]:
                user.replace_input_with(index, joined.outputs[0])
            model.graph.insert_after(concat, joined)
            for index, relu in enumerate(relus):
                concat.replace_input_with(index, relu.inputs[0])
                model.graph.remove(relu, safe=True)
            modified = True
        return ir.passes.PassResult(model, modified)


def _is_of_layer(node: ir.Node) -> bool:
    return node.op_type == "Concat" and LAYER in node.metadata_props


def _is_private(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _names(graph: ir.Graph) -> set[str]:
    return value_names(graph) | {node.name for node in graph if node.name}


def _unique(name: str, taken: set[str]) -> str:
    unique, count = name, 1
    while unique in taken:
        unique, count = f"{name}_{count}", count + 1
    taken.add(unique)
    return unique
