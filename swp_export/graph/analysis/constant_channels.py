"""Which channels of a tensor are fixed, whatever the network's input: hold a constant, or a map of borders.

The constants of a tensor are float64 `[C]`, NaN where a channel is not known to be constant. They start at filters with
no live stripe (the constant is the bias) and flow through every operator whose row in the table says how. Zero padding
makes other fixed maps of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import SwpExportError
from swp_export.graph.analysis.channels import Channels, rule_of
from swp_export.graph.float64.execution import compute
from swp_export.graph.operators.table import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.fixed_maps import FixedMaps
    from swp_export.graph.operators.operator import Evaluate

    Constants = dict[ir.Value, np.ndarray]


def constant_channels(graph: ir.Graph) -> Constants:
    """Return the constants of every tensor of `graph` that has any."""
    constants = {value: maps.constants() for value, maps in fixed_channels(graph).items()}
    return {value: known for value, known in constants.items() if not np.isnan(known).all()}


def fixed_channels(
    graph: ir.Graph, before_node: Callable[[ir.Node, FixedMaps], None] | None = None
) -> dict[ir.Value, FixedMaps]:
    """Return the fixed maps of every tensor of `graph` that has any.

    `before_node(node, maps)` is called for each consumer of a tensor with fixed maps (convolution or matrix product)
    before those of its own output are taken, so that it may rewrite the node's weight.
    """
    channels = Channels(graph)
    fixed: dict[ir.Value, FixedMaps] = {}
    for node in graph:
        if not channels.follows(node):
            continue
        known = [None if value is None else fixed.get(value) for value in node.inputs]
        source, weights = channels.layout(node.inputs[0]) if node.inputs else None, weights_of(node)
        is_read = source is not None and weights is not None and source.axis == weights.axis
        if before_node is not None and is_read and known[0] is not None:
            before_node(node, known[0])
        results = rule_of(node).fixed_maps(channels.view(node), known, evaluation(node))
        for value, result in zip(node.outputs, results, strict=True):
            simplest = None if result is None else result.simplest()
            if simplest is not None:
                fixed[value] = simplest
    return fixed


def evaluation(node: ir.Node) -> Evaluate:
    """Return what runs `node` in float64 on other inputs."""

    def evaluate(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        assert node.graph is not None
        try:
            return compute(node, node.graph.opset_imports, arrays)[0]
        except SwpExportError:
            return None

    return evaluate
