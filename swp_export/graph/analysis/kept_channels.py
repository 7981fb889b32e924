"""Why dead filters stay in a graph: what reads the constants that they leave, and cannot do without."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.analysis.channels import Channels, rule_of
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators.node_view import label_of
from swp_export.graph.operators.table import weights_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.operators.operator import Reads

_ADDED = "others that they are added to are live"
_GATED = "what scales or shifts them varies with the input"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """Dead filters of a layer that stay.

    Attributes:
        layer: the checkpoint's name of it, or its node's.
        filters: how many.
        reason: completes "they stay because ...".

    """

    layer: str
    filters: int
    reason: str


def kept_channels(graph: ir.Graph) -> list[Kept]:
    """Return which filters without a live stripe `graph` holds, in its order, the most frequent reason first."""
    channels = Channels(graph)
    reasons = channels.reasons()
    reads = {
        node: found
        for node in graph
        if channels.follows(node) and (found := rule_of(node).reads(channels.view(node))) is not None
    }
    live, readers = _live(graph, channels), _readers(graph, channels, reads)
    result = []
    for node in graph:
        weights, rows = weights_of(node), channels.of(node.outputs[0])
        if weights is None or rows is None:
            continue
        dead = rows[~weights.weight.reshape(weights.filters, -1).any(axis=1)].tolist()
        why = Counter(
            reasons.get(channel) or (_ADDED if live[channel] and weights.group == 1 else readers.get(channel, _GATED))
            for channel in dead
        )
        layer = node.metadata_props.get(LAYER) or node.name or node.op_type
        result += [Kept(layer=layer, filters=count, reason=reason) for reason, count in why.most_common()]
    return result


def _live(graph: ir.Graph, channels: Channels) -> np.ndarray:
    """Return bool by channel: a live filter writes it that makes it, and does not only pass it on as depthwise ones."""
    live = np.zeros(len(channels), bool)
    for node in graph:
        weights, rows = weights_of(node), channels.of(node.outputs[0])
        if weights is not None and rows is not None and weights.group == 1:
            live[rows[weights.weight.reshape(weights.filters, -1).any(axis=1)]] = True
    return live


def _readers(graph: ir.Graph, channels: Channels, reads: dict[ir.Node, Reads]) -> dict[int, str]:
    """Return, for each channel that a weight reads, which node of several it is."""
    nodes: dict[int, list[ir.Node]] = defaultdict(list)
    for node in graph:
        weights, rows = weights_of(node), channels.of(node.outputs[0])
        if node in reads:
            read = reads[node].columns[reads[node].weight.any(axis=0)]
        elif weights is not None and weights.group > 1 and rows is not None:
            read = np.unique(rows[weights.weight.reshape(weights.filters, -1).any(axis=1)])
        else:
            continue
        for channel in read.tolist():
            nodes[channel].append(node)
    return {
        channel: f"{label_of(first)} reads the constant beside zero padding"
        + (f", and {len(others)} more" if others else "")
        for channel, (first, *others) in nodes.items()
    }
