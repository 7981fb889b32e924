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
    from swp_export.graph.operators.weights import Weights

SAVED_BY_COPIED = 32
"""Multiplications saved for each float that is copied, at least: a copy is bound by memory."""
SAVED_BY_COPIED_ONCE = 4
"""The same where there is only one place, and a copy takes no time."""


class GatherChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Try it at each convolution and matrix product whose input has channels."""
        graph, modified, unread = model.graph, False, 0
        constants = {value: maps.constants() for value, maps in fixed_channels(graph).items()}
        channels = Channels(graph)
        for node in list(graph):
            weights, source = weights_of(node), node.inputs[0] if node.inputs else None
            layout = channels.layout(source)
            if weights is None or source is None or layout is None or layout.axis != weights.axis:
                continue
            if weights.group == 1:
                modified |= _without_zero_columns(node, source, weights)
            elif weights.weight.shape[1] == 1:
                left = _with_one_constant(node, source, weights, constants.get(source), unread)
                modified, unread = modified or left > unread, left
        return ir.passes.PassResult(model, modified)


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
    node: ir.Node, source: ir.Value, weights: Weights, constants: np.ndarray | None, unread: int
) -> int:
    """Return how many floats of the graph nothing reads now: the `unread` of before where it does not pay."""
    known = np.full(weights.channels, np.nan) if constants is None else constants.copy()
    of_channel = weights.weight.reshape(weights.channels, -1)
    known[~of_channel.any(axis=1)] = 0  # whatever they are, their filters make zeros of them
    fixed = np.flatnonzero(~np.isnan(known))
    others = np.flatnonzero(np.isnan(known))
    if fixed.size < 2:  # none, or the holder alone
        return unread
    holder = fixed[np.argmax(np.abs(known[fixed]))] if known[fixed].any() or not others.size else others[0]
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    places = np.arange(weights.channels)
    places[fixed] = holder
    gathered = _read_gathered(node, source, places, weights.axis)
    left = _floats_unread(graph)
    if not _pays(left - unread, weights.channels, source):
        node.replace_input_with(0, source)
        indices = gathered.inputs[1]
        graph.remove(gathered, safe=True)
        assert indices is not None
        del graph.initializers[indices.name or ""]
        return unread
    shares = np.ones(weights.channels)
    shares[fixed] = known[fixed] / known[holder] if known[fixed].any() else 0
    rule = weighted(node)
    assert rule is not None
    scaled = of_channel.astype(np.float64) * shares[:, None]
    rule.replace(node, scaled.reshape(weights.weight.shape), None, weights.group)
    return left


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


def _floats_unread(graph: ir.Graph) -> int:
    """Return how many floats are in rows that nothing reads."""
    channels = Channels(graph)
    needed, unread = needed_channels(graph, channels), 0
    for node in graph:
        weights, ids = weights_of(node), channels.of(node.outputs[0])
        if weights is not None and ids is not None:
            unread += int((~needed[ids]).sum()) * (weights.weight[0].size + 1)
    return unread


def _pays(saved: int, copied: int, source: ir.Value) -> bool:
    """Tell whether `saved` floats are worth a copy of `copied` channels of `source`."""
    shape = shape_of(source) or ()
    once = all(size == 1 for size in shape[2:])
    return saved >= (SAVED_BY_COPIED_ONCE if once else SAVED_BY_COPIED) * copied
