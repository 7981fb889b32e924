"""Why dead filters stay in a graph that was pruned.

A dead filter leaves a constant on its channel. That goes into the biases of those that read it, and the filter goes,
unless something on the way needs it: an operator that keeps all its channels, others that the constant is combined
with, or zero padding, beside which it is no constant. Here the constant is followed to where that happens.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.analysis.constant_channels import constant_channels
from swp_export.graph.convolutions import layer_name
from swp_export.graph.operators.table import weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from swp_export.graph.analysis.constant_channels import Constants
    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.weights import Weights

COMBINED = "what they are combined with varies with the input"
GROUPED = "they go only with their whole group, which is needed"
PADDED = "zero padding turns their constant into a map with borders"
SPREAD = "an operator turns their constant into another map"
UNBIASED = "what reads their constant holds no bias"
LAST = "a tensor keeps one channel at least"
_BY_RANK = (COMBINED, GROUPED, PADDED, SPREAD, UNBIASED)
"""Where several hold of a filter, the first of these is told."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """Dead filters of one layer that stay, all for one reason.

    Attributes:
        layer: the checkpoint's name of it, or its node's.
        filters: how many.
        reason: completes "they stay because ...".
        nodes: names of the nodes, or layers, where that happens; empty where the reason names the node.

    """

    layer: str
    filters: int
    reason: str
    nodes: tuple[str, ...] = ()


def kept_channels(graph: ir.Graph) -> list[Kept]:
    """Return which filters, or rows of matrix products, `graph` holds without a weight that is not zero.

    They come layer by layer in its order, the most frequent reason first.
    """
    channels = Channels(graph)
    pins, trail = channels.reasons(), _Trail(channels, constant_channels(graph))
    result = []
    for node in graph:
        weights, rows = weights_of(node), channels.of(node.outputs[0])
        if weights is None or rows is None or weights.live_filters().all():
            continue
        dead = rows[~weights.live_filters()]
        ends = trail.ends(node.outputs[0], dead[[row not in pins for row in dead.tolist()]])
        otherwise = GROUPED if weights.group > 1 else LAST
        counts: Counter[str] = Counter()
        nodes: dict[str, list[ir.Node]] = defaultdict(list)
        for row in dead.tolist():
            reason = pins.get(row) or next((each for each in _BY_RANK if each in ends[row]), otherwise)
            counts[reason] += 1
            nodes[reason] += ends[row].get(reason, [])
        result += [
            Kept(
                layer=layer_name(node),
                filters=count,
                reason=reason,
                nodes=tuple(dict.fromkeys(map(layer_name, nodes[reason]))),
            )
            for reason, count in counts.most_common()
        ]
    return result


class _Trail:
    """Follows constants through the graph to where they are needed."""

    def __init__(self, channels: Channels, constants: Constants) -> None:
        self._channels, self._constants = channels, constants

    def ends(self, value: ir.Value, ids: Ids) -> dict[int, dict[str, list[ir.Node]]]:
        """Return for each of the channels `ids` of `value`, constants, why it is needed, and by which nodes."""
        found: dict[int, dict[str, list[ir.Node]]] = defaultdict(lambda: defaultdict(list))
        pending, seen = [(value, ids)], {value}
        while pending:
            value, ids = pending.pop()
            for node in dict.fromkeys(use.node for use in value.uses()):
                if not self._channels.follows(node):
                    continue
                for reason, ended in self._ends_at(node, value, ids):
                    for channel in np.unique(ended).tolist():
                        found[channel][reason].append(node)
                weights = weights_of(node)
                for output in () if weights is not None and weights.group == 1 else node.outputs:
                    going = self._known(output, ids)
                    if going.size and output not in seen:
                        seen.add(output)
                        pending.append((output, going))
        return found

    def _ends_at(self, node: ir.Node, value: ir.Value, ids: Ids) -> Iterator[tuple[str, Ids]]:
        """Yield why `node` needs which of the channels `ids` of its input `value`."""
        weights = weights_of(node)
        if weights is not None and value is node.inputs[0]:
            columns = self._channels.of(value)
            if columns is None or columns.size != weights.channels:
                return
            taps = _read_taps(weights) & self._are_known(value, ids)[:, None]
            padded = (taps & weights.padded.reshape(-1)).any(axis=1)
            yield PADDED, columns[padded]
            if weights.group == 1:
                yield UNBIASED, columns[taps.any(axis=1) & ~padded & (not weights.holds_bias)]
            else:
                yield GROUPED, np.setdiff1d(ids, np.append(columns[padded], self._known(node.outputs[0], ids)))
            return
        reason = COMBINED if len(self._channels.view(node).computed()) > 1 else SPREAD
        for output in node.outputs:
            carried = self._channels.of(output)
            if carried is not None:
                yield reason, np.setdiff1d(np.intersect1d(ids, carried), self._known(output, ids))

    def _known(self, value: ir.Value, ids: Ids) -> Ids:
        """Return those of the channels `ids` that `value` has as a constant."""
        own = self._channels.of(value)
        return ids[:0] if own is None else np.unique(own[self._are_known(value, ids)])

    def _are_known(self, value: ir.Value, ids: Ids) -> np.ndarray:
        """Return which channels of `value` are one of `ids` and a constant, bool `[C]`."""
        own, constants = self._channels.of(value), self._constants.get(value)
        assert own is not None
        return np.zeros(own.size, bool) if constants is None else np.isin(own, ids) & ~np.isnan(constants)


def _read_taps(weights: Weights) -> np.ndarray:
    """Return at which taps any filter reads which channel, bool `[C, taps]`."""
    live = (weights.weight != 0).reshape(weights.group, weights.filters // weights.group, -1, weights.padded.size)
    return live.any(axis=1).reshape(weights.channels, -1)
