"""Leave the repetition of a tensor to the operator that reads it, which broadcasts anyway.

    Mul(x, Expand(gate, Shape(x)))   ->   Mul(x, gate)

So PyTorch's `x * gate.expand_as(x)` is exported. Only where the other operand has the size that is repeated to.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.analysis.channels import rule_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import shape_of
from swp_export.graph.operators.rules.elementwise import Elementwise


class DropExpand(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every reader of an Expand."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "Expand" and node.inputs[0] is not None:
                for use in list(node.outputs[0].uses()):
                    if isinstance(rule_of(use.node), Elementwise) and _repeats_itself(use.node, use.idx):
                        use.node.replace_input_with(use.idx, node.inputs[0])
                        modified = True
        return ir.passes.PassResult(model, modified)


def _repeats_itself(reader: ir.Node, index: int) -> bool:
    """Tell whether another operand of `reader` has every size that its operand `index` has been repeated to."""
    expanded = shape_of(reader.inputs[index])
    others = [shape_of(value) for number, value in enumerate(reader.inputs) if number != index]
    return expanded is not None and any(other == expanded and None not in expanded for other in others)
