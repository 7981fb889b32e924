"""Leave the repetition of a tensor to the operator that reads it, which broadcasts anyway.

    Mul(x, Expand(gate, Shape(x)))   ->   Mul(x, gate)

So PyTorch's `x * gate.expand_as(x)` is exported. Only where the other operand has the size that is repeated to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.graph.analysis.channels import rule_of
from swp_export.graph.analysis.sizes import sizes_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import shape_of
from swp_export.graph.operators.rules.elementwise import Elementwise

if TYPE_CHECKING:
    from swp_export.graph.operators.node_view import Dim


class DropExpand(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every reader of an Expand."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "Expand" and node.inputs[0] is not None:
                for use in list(node.outputs[0].uses()):
                    if isinstance(rule_of(use.node), Elementwise) and _is_repeated_by(use.node, use.idx, node):
                        use.node.replace_input_with(use.idx, node.inputs[0])
                        modified = True
        return ir.passes.PassResult(model, modified)


def _is_repeated_by(reader: ir.Node, index: int, expand: ir.Node) -> bool:
    """Tell whether another operand of `reader` has every size that its operand `index` has been repeated to."""
    expanded = _expanded(expand)
    others = [shape_of(value) for number, value in enumerate(reader.inputs) if number != index]
    return expanded is not None and any(other == expanded for other in others)


def _expanded(expand: ir.Node) -> tuple[Dim, ...] | None:
    """Return the shape of what an Expand gives, all of whose sizes are known, if only by name; None where not."""
    shape, sizes = shape_of(expand.inputs[0]), sizes_of(expand.inputs[1])
    if shape is None or sizes is None:
        return None
    rank = max(len(shape), len(sizes))
    before, stated = ([1] * (rank - len(given)) + [*given] for given in (shape, sizes))
    if any(a is None or b is None or (a != b and 1 not in {a, b}) for a, b in zip(before, stated, strict=True)):
        return None
    return tuple(b if a == 1 else a for a, b in zip(before, stated, strict=True))
