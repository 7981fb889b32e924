"""Put the output channels of convolutions into the order that their lowerings ask for, and fill up with zeros.

For a convolution whose channels are its own, an order `p` (a permutation of its filters, with -1 for a filter of zeros
in between) becomes, in the convolution and in everything that carries or reads its channels:

    W'[k] = W[p_k],  b'[k] = b[p_k]                         rows of the convolution; zeros where p_k = -1
    depthwise weights, BatchNormalization, per-channel constants: the same
    V'[:, k] = V[:, p_k]                                    columns of each reader; zeros where p_k = -1

Exact: a sum does not depend on the order of its terms, and what a channel of zeros became on its way, if it is finite,
is multiplied by a column of zeros. A Flatten carries each channel several times, a Concat beside others. Before and
after, p = (2, 0, 1, -1):

    Conv [3, C, 3, 3] -> Relu -> Conv [8, 3, 3, 3]
    Conv [4, C, 3, 3] -> Relu -> Conv [8, 4, 3, 3]          rows 2, 0, 1, zeros;  columns 2, 0, 1, zeros

Convolutions whose outputs meet in an Add share their channels, so one order holds for all of them: the trunk of a
residual stage has one. It is free if none of the channels is pinned (graph output, operator not understood), divides a
tensor, or is united with some channels only of another producer. `channel_groups` names the convolutions that share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.analysis.constant_channels import evaluation
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.operators.table import weights_of
from swp_export.graph.passes.take_channels import take_channels

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import Places


class OrderChannels(ir.passes.InPlacePass):
    """See the module's docstring.

    Args:
        orders: by name of a convolution's node: int64 `[N']`, a filter of it or -1; each filter once, unless it is one
            of zeros that nothing reads, as this pass fills up with. It holds for all convolutions that share its
            channels.

    Raises:
        ValueError: on the call: an order is none of the layer's filters, or its channels are not free.

    """

    def __init__(self, orders: Mapping[str, Places]) -> None:
        super().__init__()
        self._orders = dict(orders)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find the new place of every channel, then rearrange every constant that is indexed by one."""
        graph = model.graph
        channels, free = Channels(graph), {name for group in channel_groups(graph) for name in group}
        layers = {node.name: node for node, _ in iterate_stripe_convs(graph)}
        new: dict[int, tuple[int, Places]] = {}
        for name, order in self._orders.items():
            if name not in layers or name not in free:
                raise ValueError(f"{name}: the channels of this layer are not free to order")
            rows = channels.of(layers[name].outputs[0])
            assert rows is not None
            named = order[order >= 0]
            unnamed = np.setdiff1d(np.arange(rows.size), named)
            if named.size + unnamed.size != rows.size or not _are_zeros(graph, channels, rows[unnamed]):
                raise ValueError(f"{name}: an order names each of the {rows.size} filters once, got {order.tolist()}")
            if not np.array_equal(order, np.arange(rows.size)):
                new[int(rows[0])] = rows.size, np.where(order >= 0, rows[order], -1)
        take_channels(graph, channels, lambda ids: moved_places(ids, new))
        return ir.passes.PassResult(model, bool(new))


def channel_groups(graph: ir.Graph) -> list[list[str]]:
    """Return the names of the group-1 convolutions whose channels are free, those that share them together."""
    layers = {node for node, _ in iterate_stripe_convs(graph)}
    return [[node.name or "" for node in nodes] for nodes, _ in free_channels(graph, Channels(graph), layers)]


def free_channels(
    graph: ir.Graph, channels: Channels, producers: Container[ir.Node]
) -> list[tuple[list[ir.Node], Ids]]:
    """Return the channels that are free to order and made by some of `producers` alone, with those that make them."""
    stays = np.zeros(len(channels), bool)
    stays[np.concatenate([channels.pinned(), *_not_always_finite(graph, channels)])] = True
    sharing: dict[bytes, tuple[list[ir.Node], Ids]] = {}
    owners = np.zeros(len(channels), np.int64)
    for node in graph:
        reads = channels.rule(node).reads(channels.view(node)) if channels.follows(node) else None
        if reads is not None:
            sharing.setdefault(reads.rows.tobytes(), ([], reads.rows))[0].append(node)
            np.add.at(owners, reads.rows, 1)
    carriers = _Carriers([layout.ids for _, layout in channels.layouts()])
    return [
        (nodes, rows)
        for nodes, rows in sharing.values()
        if all(node in producers for node in nodes)
        and np.array_equal(rows, np.arange(rows.size) + rows[0])
        and (owners[rows] == len(nodes)).all()
        and not stays[rows].any()
        and all(is_whole(ids, rows) for ids in carriers.of(rows))
    ]


def free_layers(graph: ir.Graph) -> set[str]:
    """Return the names of the group-1 convolutions whose channels are their own, and free."""
    return {group[0] for group in channel_groups(graph) if len(group) == 1}


def _not_always_finite(graph: ir.Graph, channels: Channels) -> list[Ids]:
    """Return the channels that an operator may turn into what is no number where they are new."""
    return [
        layout.ids
        for node in graph
        if channels.follows(node) and not channels.rule(node).stays_finite(channels.view(node), evaluation(node))
        for value in (*node.inputs, *node.outputs)
        if (layout := channels.layout(value)) is not None
    ]


class _Carriers:
    """Which tensors carry a channel: looked up by sorting, so that a layer costs the same in a network of any depth."""

    def __init__(self, carried: Sequence[Ids]) -> None:
        self._carried = carried
        ids = np.concatenate([np.zeros(0, np.int64), *carried])
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        self._tensors = np.repeat(np.arange(len(carried)), [each.size for each in carried])[order]

    def of(self, rows: Ids) -> list[Ids]:
        """Return the channels of each tensor that carries one of `rows`, which are consecutive."""
        first, behind = np.searchsorted(self._ids, [rows[0], rows[-1] + 1])
        return [self._carried[tensor] for tensor in np.unique(self._tensors[first:behind]).tolist()]


def is_whole(identities: np.ndarray, rows: np.ndarray) -> bool:
    """Tell whether `identities` hold all of `rows` in order, each equally often, side by side; or none of them.

    Of one channel that is there twice it cannot be told whether a Flatten repeats it or a Concat the tensor: False.
    """
    held = np.flatnonzero(np.isin(identities, rows))
    if not held.size:
        return True
    if rows.size == 1 < held.size:
        return False
    repeats = held.size // rows.size
    return bool(np.array_equal(identities[held[0] : held[-1] + 1], np.repeat(rows, repeats)))


def _are_zeros(graph: ir.Graph, channels: Channels, dropped: Ids) -> bool:
    """Tell whether the channels `dropped` are zero wherever they are written, and read times zero."""
    for node in graph if dropped.size else ():
        weights, reads = (
            weights_of(node),
            channels.rule(node).reads(channels.view(node)) if channels.follows(node) else None,
        )
        if weights is None or reads is None:
            continue
        live = weights.weight.reshape(weights.filters, -1).any(axis=1) | (weights.biases() != 0)
        if np.isin(dropped, np.concatenate([reads.rows[live], reads.columns[reads.weight.any(axis=0)]])).any():
            return False
    return True


def moved_places(identities: Ids, new: Mapping[int, tuple[int, Places]]) -> Places:
    """Return, for each channel of a tensor after the pass, its place before it, or -1 for a channel of zeros."""
    places: list[np.ndarray] = []
    at = 0
    while at < identities.size:
        if int(identities[at]) not in new:
            places.append(np.array([at]))
            at += 1
            continue
        size, order = new[int(identities[at])]
        repeats = int(np.count_nonzero(identities == identities[at]))
        # The identities of a convolution's rows are consecutive.
        first = np.where(order >= 0, at + (order - identities[at]) * repeats, -1)
        spread = first[:, None] + np.where(order >= 0, 1, 0)[:, None] * np.arange(repeats)
        places.append(spread.reshape(-1))
        at += size * repeats
    return np.concatenate(places).astype(np.int64)
