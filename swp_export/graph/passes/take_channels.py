"""Give every tensor other channels: some of those it had, in any order, and new ones of zeros.

Every constant that is indexed by a channel is cut, and every size that is stated; the rows of the table of operators
say which those are. That is exact if a channel is dropped or added that nothing reads but times zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.analysis.channels import Channels
    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import Places


def take_channels(graph: ir.Graph, channels: Channels, places: Callable[[Ids], Places]) -> bool:
    """Give each tensor of `graph` the channels `places(ids)` of its channels `ids`; tell whether anything changed.

    Args:
        graph: changed in place.
        channels: of `graph` as it is.
        places: returns where each channel was, int64, -1 for a new one of zeros.

    """
    before = dict(channels.layouts())
    after = {value: places(layout.ids) for value, layout in before.items()}
    changed = {value for value in before if not np.array_equal(after[value], np.arange(before[value].ids.size))}
    for node in graph:
        if channels.follows(node) and not changed.isdisjoint([*node.inputs, *node.outputs]):
            inputs = [None if value is None else after.get(value) for value in node.inputs]
            channels.rule(node).take(channels.view(node), inputs, [after.get(value) for value in node.outputs])
    for value in changed:
        if value.shape is not None:
            sizes = list(value.shape)
            sizes[before[value].axis] = after[value].size
            value.shape = ir.Shape(sizes)
    return bool(changed)
