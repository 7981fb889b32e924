"""Write a channel shuffle as one Gather, so that the channels can be followed through it.

    Reshape [N, g*k, H, W] -> [N, g, k, H, W], Transpose (0, 2, 1, 3, 4), Reshape -> [N, k*g, H, W]
    Gather(axis = 1, indices = [0, k, 2k, ..., 1, k + 1, ...])

It moves the same maps, and still does when some of the channels are gone, which no other size of group could say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import add_initializer
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.node_view import Dim


class GatherShuffle(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Transpose."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "Transpose" and (found := _shuffle(node)) is not None:
                source, last, order = found
                _replace(model.graph, source, last, order)
                modified = True
        return ir.passes.PassResult(model, modified)


def _shuffle(node: ir.Node) -> tuple[ir.Value, ir.Node, np.ndarray] | None:
    """Return what is shuffled, the last node of the shuffle that `node` is the middle of, and where channels come from.

    None where it is the middle of none.
    """
    first = None if node.inputs[0] is None else node.inputs[0].producer()
    uses = list(node.outputs[0].uses())
    if first is None or operator_of(first) != "Reshape" or len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    last, source = uses[0].node, first.inputs[0]
    before, split, after = shape_of(source), shape_of(first.outputs[0]), shape_of(last.outputs[0])
    if source is None or before is None or split is None or after is None or operator_of(last) != "Reshape":
        return None
    order = node.attributes["perm"].as_ints() if "perm" in node.attributes else []
    if list(order) != [0, 2, 1, *range(3, len(split))] or len(before) != len(after) or len(split) != len(before) + 1:
        return None
    groups, each = split[1], split[2]
    if not isinstance(groups, int) or not isinstance(each, int) or not before[1] == after[1] == groups * each:
        return None
    same = _are_same(before[2:], split[3:]) and _are_same(before[2:], after[2:])
    return (source, last, np.arange(groups * each).reshape(groups, each).T.reshape(-1)) if same else None


def _are_same(some: Sequence[Dim], others: Sequence[Dim]) -> bool:
    """Tell whether all sizes are known to be the same, open ones by name."""
    return all(a == b and a is not None for a, b in zip(some, others, strict=True))


def _replace(graph: ir.Graph, source: ir.Value, last: ir.Node, order: np.ndarray) -> None:
    """Put a Gather of `source` in the place of `last`; what computed it goes with what nothing reads."""
    name = last.name or last.outputs[0].name or ""
    indices = add_initializer(graph, f"{name}.channels", order)
    gather = ir.Node("", "Gather", [source, indices], [ir.AttrInt64("axis", 1)], num_outputs=1, name=name)
    gather.outputs[0].name, gather.outputs[0].type = last.outputs[0].name, last.outputs[0].type
    gather.outputs[0].shape = source.shape
    ir.convenience.replace_nodes_and_values(graph, last, [last], [gather], last.outputs, gather.outputs)
