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

from swp_export.graph.analysis.channels import Channels, rule_of
from swp_export.graph.analysis.constant_channels import fixed_channels
from swp_export.graph.convolutions import layer_name
from swp_export.graph.operators.table import weights_of
from swp_export.graph.passes.remove_dead_channels import needed_channels

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.operators.fixed_maps import FixedMaps
    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.operator import Reads
    from swp_export.graph.operators.weights import Weights

COMBINED = "what they are combined with varies with the input"
GROUPED = "they go only with their whole group, which is needed"
PADDED = "zero padding turns their constant into a map with borders"
SPREAD = "an operator turns their constant into another map"
UNBIASED = "what reads their constant holds no bias"
SHARED = "what they are combined with is needed"
LAST = "a tensor keeps one channel at least"
_BY_RANK = (COMBINED, SPREAD, GROUPED, PADDED, UNBIASED, SHARED, LAST)
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
    """Return which filters, or rows of matrix products, of the compact `graph` have no weight that is not zero.

    They come layer by layer in its order, the most frequent reason first.
    """
    return _kept(graph, Channels(graph))


def would_be_kept(graph: ir.Graph) -> list[Kept]:
    """Return which would stay if `graph` was pruned, as far as that is certain without doing it.

    Not told are those that zero padding needs, one or a few of each tensor, and those that stay with their group.
    """
    channels = Channels(graph)
    needed = needed_channels(graph, channels)
    uncertain = _BY_RANK[1:]
    return [each for each in _kept(graph, channels, needed) if each.reason not in uncertain]


def _kept(graph: ir.Graph, channels: Channels, needed: np.ndarray | None = None) -> list[Kept]:
    trail, result = _Trail(channels, fixed_channels(graph), through_groups=needed is None), []
    for node in graph:
        weights, rows = weights_of(node), channels.layout(node.outputs[0])
        if weights is None or weights.live_filters().all():
            continue
        is_dead = ~weights.live_filters()
        if rows is None:
            reason = channels.why_not_followed(node)
            result.append(Kept(layer=layer_name(node), filters=int(is_dead.sum()), reason=reason))
            continue
        if rows.axis != weights.axis:  # it is applied to maps
            continue
        dead = rows.ids[is_dead]
        otherwise = GROUPED if weights.group > 1 else LAST if weights.filters == 1 else SHARED
        counts: Counter[str] = Counter()
        nodes: dict[str, list[ir.Node]] = defaultdict(list)
        for row in (dead if needed is None else dead[needed[dead]]).tolist():
            ends = trail.ends(node.outputs[0], row)
            reason = min(ends, key=_rank, default=otherwise)
            counts[reason] += 1
            nodes[reason] += ends.get(reason, [])
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


def _rank(reason: str) -> int:
    return _BY_RANK.index(reason) if reason in _BY_RANK else -1


class _Trail:
    """Follows constants through the graph to where they are needed; into grouped convolutions, or only up to those."""

    def __init__(self, channels: Channels, fixed: dict[ir.Value, FixedMaps], *, through_groups: bool) -> None:
        self._through_groups = through_groups
        self._channels, self._fixed, self._pins = channels, fixed, channels.reasons()
        self._own: dict[ir.Value, tuple[Ids, np.ndarray]] = {}
        self._taps: dict[ir.Node, np.ndarray] = {}
        self._reads: dict[ir.Node, Reads | None] = {}

    def ends(self, value: ir.Value, channel: int) -> dict[str, list[ir.Node]]:
        """Return why `channel` of `value`, a constant, is needed, and at which nodes; none where the reason says it."""
        found: dict[str, list[ir.Node]] = defaultdict(list)
        pending, seen = [(value, np.array([channel]))], {value}
        while pending:
            value, ids = pending.pop()
            pins = [self._pins[each] for each in ids.tolist() if each in self._pins]
            if pins:
                return {pins[0]: []}
            for node in dict.fromkeys(use.node for use in value.uses()):
                if self._channels.follows(node):
                    reasons, going = self._at(node, value, ids)
                    for reason in reasons:
                        found[reason].append(node)
                    pending += [(output, each) for output, each in going if output not in seen]
                    seen |= {output for output, _ in going}
        return found

    def _at(self, node: ir.Node, value: ir.Value, ids: Ids) -> tuple[list[str], list[tuple[ir.Value, Ids]]]:
        """Return why `node` needs the constants `ids` of its input `value`, and in which outputs they go on."""
        layout, weights = self._channels.layout(value), weights_of(node) if value is node.inputs[0] else None
        if weights is not None and layout is not None and layout.axis != weights.axis:
            weights = None  # it is applied to each map, or to each image
        if weights is not None:
            reason = self._read(node, weights, value, ids)
            if reason is not None or weights.group == 1 or not self._through_groups:
                return [] if reason is None else [reason], []
        carried, reasons, going = self._behind(node, ids), [], []
        for output in node.outputs:
            own, known = self._known(output)
            here = np.isin(own, carried)
            if (here & known).any():
                going.append((output, np.unique(own[here & known])))
            elif here.any():
                reasons.append(GROUPED if weights is not None else self._why_none(node, output, here))
        return reasons, going

    def _read(self, node: ir.Node, weights: Weights, value: ir.Value, ids: Ids) -> str | None:
        """Return why `node`, which reads `value` by `weights`, needs the constants `ids` of it; None if it does not."""
        own, known = self._known(value)
        if own.size != weights.channels:
            return None
        if node not in self._taps:
            self._taps[node] = _read_taps(weights)
        taps = self._taps[node][np.isin(own, ids) & known]
        if taps[:, weights.padded.reshape(-1)].any():
            return PADDED
        return UNBIASED if weights.group == 1 and taps.any() and not weights.holds_bias else None

    def _why_none(self, node: ir.Node, output: ir.Value, here: np.ndarray) -> str:
        """Return why no channel of `output` is a constant `here`, bool `[C]`, though each comes from one."""
        maps = self._fixed.get(output)
        is_fixed = maps is not None and maps.fixed()[here].any()
        return COMBINED if len(self._channels.view(node).computed()) > 1 and not is_fixed else SPREAD

    def _behind(self, node: ir.Node, ids: Ids) -> Ids:
        """Return what the channels `ids` are behind `node`."""
        if node not in self._reads:
            self._reads[node] = rule_of(node).reads(self._channels.view(node))
        reads = self._reads[node]
        if reads is None:
            return ids
        rows = reads.weight[:, np.isin(reads.columns, ids)].any(axis=1)
        return np.append(ids, reads.rows[rows])

    def _known(self, value: ir.Value) -> tuple[Ids, np.ndarray]:
        """Return the channels of `value`, none where they are not followed, and which of them are constants."""
        if value not in self._own:
            own, maps = self._channels.of(value), self._fixed.get(value)
            ids = np.zeros(0, np.int64) if own is None else own
            self._own[value] = ids, np.zeros(ids.size, bool) if maps is None else ~np.isnan(maps.constants())
        return self._own[value]


def _read_taps(weights: Weights) -> np.ndarray:
    """Return at which taps any filter reads which channel, bool `[C, taps]`."""
    live = (weights.weight != 0).reshape(weights.group, weights.filters // weights.group, -1, weights.padded.size)
    read: np.ndarray = live.any(axis=1).reshape(weights.channels, -1)
    return read
