"""Let a weight read a selection of channels, where a tensor or the weight would hold many channels for nothing.

A weight has columns of zeros for channels that others read; the trunk of a residual network has channels that are born
in later blocks, a squeeze-and-excite gate reads no constant:

    Conv [M, C, ...](x), n columns zero        ->  Conv [M, C - n, ...](Gather(x, the others))

A depthwise convolution has one channel for each of its filters. Where its padding makes maps of constants that are
still needed, or its filter is zero and its bias needed, filters of zeros before it hold those channels, columns of
zeros each. One channel h is enough, that of the largest constant v_h:

    Conv [C, ...] -> depthwise [C, 1, ...]      ->  Conv [C - n, ...] -> Gather(x, [.., h, .., h, ..]) -> depthwise
                                                   with filters W[c] * v_c / v_h

`RemoveDeadChannels` then drops what nothing reads. A Gather copies a map, so that it is written only where the floats
that it saves, each of which is multiplied at every place of the map, are many times those that it copies there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.analysis.constant_channels import fixed_channels
from swp_export.graph.constants import add_initializer
from swp_export.graph.operators.node_view import shape_of
from swp_export.graph.operators.table import weighted, weights_of
from swp_export.graph.passes.remove_dead_channels import needed_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.weights import Weights

SAVED_BY_COPIED = 32
"""Multiplications saved for each float that is copied, at least: a copy is bound by memory."""
SAVED_BY_COPIED_ONCE = 4
"""The same where there is only one place, and a copy takes no time."""


class GatherChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Try it at each convolution and matrix product whose input has channels."""
        graph, modified = model.graph, False
        constants = {value: maps.constants() for value, maps in fixed_channels(graph).items()}
        channels, tried = Channels(graph), list[_OneConstant]()
        for node in list(graph):
            weights, source = weights_of(node), node.inputs[0] if node.inputs else None
            layout = channels.layout(source)
            if weights is None or source is None or layout is None or layout.axis != weights.axis:
                continue
            if weights.group == 1:
                modified |= _without_zero_columns(node, source, weights)
            elif weights.weight.shape[1] == 1:
                one = _with_one_constant(node, source, weights, constants.get(source))
                tried += [] if one is None else [one]
        for one, saved in zip(tried, _floats_saved(graph, tried), strict=True):
            if _pays(saved, one.group, one.source):
                one.keep()
                modified = True
            else:
                one.undo()
        return ir.passes.PassResult(model, modified)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _OneConstant:
    """A depthwise convolution that reads one constant for all by the Gather `gathered` of its `source`.

    Attributes:
        node: the convolution, which still has the filters it had.
        weight: those that it needs to compute the same.
        group: of the convolution.

    """

    node: ir.Node
    source: ir.Value
    gathered: ir.Node
    weight: np.ndarray
    group: int

    def keep(self) -> None:
        """Give the node its filters."""
        rule = weighted(self.node)
        assert rule is not None
        rule.replace(self.node, self.weight, None, self.group)

    def undo(self) -> None:
        """Let the node read what it read."""
        graph, indices = self.node.graph, self.gathered.inputs[1]
        assert isinstance(graph, ir.Graph)
        assert indices is not None
        self.node.replace_input_with(0, self.source)
        graph.remove(self.gathered, safe=True)
        del graph.initializers[indices.name or ""]


def _without_zero_columns(node: ir.Node, source: ir.Value, weights: Weights) -> bool:
    read = weights.weight.any(axis=(0, *range(2, weights.weight.ndim)))
    live = np.flatnonzero(read)
    saved = (weights.channels - live.size) * (weights.weight.size // weights.channels)
    if not live.size or not _pays(saved, live.size, source):
        return False
    _read_gathered(node, source, live, weights.axis)
    rule = weighted(node)
    assert rule is not None
    rule.replace(node, weights.weight[:, live], None)
    return True


def _with_one_constant(
    node: ir.Node, source: ir.Value, weights: Weights, constants: np.ndarray | None
) -> _OneConstant | None:
    """Let `node` read one constant for all of its `source`; None, and nothing done, where there are no two."""
    known = np.full(weights.channels, np.nan) if constants is None else constants.copy()
    of_channel = weights.weight.reshape(weights.channels, -1)
    known[~of_channel.any(axis=1)] = 0  # whatever they are, their filters make zeros of them
    fixed = np.flatnonzero(~np.isnan(known))
    others = np.flatnonzero(np.isnan(known))
    if fixed.size < 2:  # none, or the holder alone
        return None
    holder = fixed[np.argmax(np.abs(known[fixed]))] if known[fixed].any() or not others.size else others[0]
    places = np.arange(weights.channels)
    places[fixed] = holder
    shares = np.ones(weights.channels)
    shares[fixed] = known[fixed] / known[holder] if known[fixed].any() else 0
    scaled = of_channel.astype(np.float64) * shares[:, None]
    return _OneConstant(
        node=node,
        source=source,
        gathered=_read_gathered(node, source, places, weights.axis),
        weight=scaled.reshape(weights.weight.shape),
        group=weights.group,
    )


def _read_gathered(node: ir.Node, source: ir.Value, places: np.ndarray, axis: int) -> ir.Node:
    """Let `node` read the channels at `places` of `source`; return the Gather."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    name = f"{node.name or node.outputs[0].name}.channels"
    indices = add_initializer(graph, name, places.astype(np.int64))
    gathered = ir.node("Gather", [source, indices], {"axis": axis}, name=name)
    value = gathered.outputs[0]
    value.name, value.type = indices.name + ".gathered" if indices.name else name, source.type
    if source.shape is not None:
        sizes = list(source.shape)
        sizes[axis] = places.size
        value.shape = ir.Shape(sizes)
    graph.insert_before(node, gathered)
    node.replace_input_with(0, value)
    return gathered


def _floats_saved(graph: ir.Graph, tried: Sequence[_OneConstant]) -> list[int]:
    """Return how many floats are in rows that nothing reads, for want of each of `tried` alone.

    The graph is followed once for all of them: they meet only where two read the same channel, which then neither
    saves without the other.
    """
    channels = Channels(graph)
    unread = ~needed_channels(graph, channels)
    floats, readers = np.zeros(len(channels), np.int64), np.zeros(len(channels), np.int64)
    for node in graph:
        weights, rows = weights_of(node), channels.of(node.outputs[0])
        if weights is not None and rows is not None:
            np.add.at(floats, rows, weights.weight[0].size + 1)
    layouts = dict(channels.layouts())
    read = [np.unique(layouts[one.source].ids) for one in tried]
    for ids in read:
        readers[ids] += 1
    return [int(floats[ids[unread[ids] & (readers[ids] == 1)]].sum()) for ids in read]


def _pays(saved: int, copied: int, source: ir.Value) -> bool:
    """Tell whether `saved` floats are worth a copy of `copied` channels of `source`."""
    shape = shape_of(source) or ()
    once = all(size == 1 for size in shape[2:])
    return saved >= (SAVED_BY_COPIED_ONCE if once else SAVED_BY_COPIED) * copied
