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

from swp_export.graph.analysis.channels import ELEMENTWISE, Channels, is_depthwise, is_transposed, weight_matrix
from swp_export.graph.constants import array_of, set_input
from swp_export.graph.convolutions import iterate_stripe_convs, set_bias, set_weight
from swp_export.graph.metadata import FILTERS, decode_order, encode_order
from swp_export.graph.operators import operator_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Order = npt.NDArray[np.int64]

_VARIANCE = 4
"""The input of a BatchNormalization that a channel of zeros divides by."""


class OrderChannels(ir.passes.InPlacePass):
    """See the module's docstring.

    Args:
        orders: by name of a convolution's node: int64 `[N']`, a filter of it or -1; each filter once, unless it is one
            of zeros that nothing reads, as this pass fills up with. It holds for all convolutions that share its
            channels.

    Raises:
        ValueError: on the call: an order is none of the layer's filters, or its channels are not free.

    """

    def __init__(self, orders: Mapping[str, Order]) -> None:
        super().__init__()
        self._orders = dict(orders)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find the new place of every channel, then rearrange every constant that is indexed by one."""
        graph = model.graph
        channels, free = Channels(graph), {name for group in channel_groups(graph) for name in group}
        layers = {node.name: node for node, _ in iterate_stripe_convs(graph)}
        new: dict[int, tuple[int, Order]] = {}
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
        places = {
            value: _places(identities, new)
            for node in graph
            for value in node.outputs
            if (identities := channels.of(value)) is not None
        }
        for node in graph:
            _rearrange(node, places, channels)
        for value, order in places.items():
            if value.shape is not None:
                value.shape = ir.Shape([dim if axis != 1 else order.size for axis, dim in enumerate(value.shape)])
        return ir.passes.PassResult(model, bool(new))


def channel_groups(graph: ir.Graph) -> list[list[str]]:
    """Return the names of the group-1 convolutions whose channels are free, those that share them together."""
    channels = Channels(graph)
    pinned = np.concatenate([channels.pinned(), *_may_be_infinite(graph, channels)])
    producers: dict[bytes, list[str]] = {}
    owners = np.zeros(len(channels), np.int64)
    rows_of: dict[bytes, np.ndarray] = {}
    for node in graph:
        rows = channels.of(node.outputs[0]) if node.outputs else None
        if rows is not None and weight_matrix(node) is not None:
            producers.setdefault(rows.tobytes(), []).append(node.name or "")
            rows_of[rows.tobytes()] = rows
            np.add.at(owners, rows, 1)
    layers = {node.name or "" for node, _ in iterate_stripe_convs(graph)}
    carried = [identities for node in graph for v in node.outputs if (identities := channels.of(v)) is not None]
    return [
        names
        for key, names in producers.items()
        if layers.issuperset(names)
        and (owners[rows_of[key]] == len(names)).all()
        and not np.isin(rows_of[key], pinned).any()
        and all(_is_whole(identities, rows_of[key]) for identities in carried)
    ]


def free_layers(graph: ir.Graph) -> set[str]:
    """Return the names of the group-1 convolutions whose channels are their own, and free."""
    return {group[0] for group in channel_groups(graph) if len(group) == 1}


def _may_be_infinite(graph: ir.Graph, channels: Channels) -> list[np.ndarray]:
    """Return the channels that an operator may turn into what is no number where they are zero."""
    sources = [node.inputs[-1] for node in graph if operator_of(node) in {"Div", "Sqrt"}]
    return [identities for value in sources if (identities := channels.of(value)) is not None]


def _is_whole(identities: np.ndarray, rows: np.ndarray) -> bool:
    """Tell whether `identities` hold all of `rows` in order, each equally often, side by side; or none of them."""
    held = np.flatnonzero(np.isin(identities, rows))
    if not held.size:
        return True
    repeats = held.size // rows.size
    return bool(np.array_equal(identities[held[0] : held[-1] + 1], np.repeat(rows, repeats)))


def _are_zeros(graph: ir.Graph, channels: Channels, dropped: np.ndarray) -> bool:
    """Tell whether the channels `dropped` are zero wherever they are written, and read times zero."""
    for node in graph if dropped.size else ():
        weight = weight_matrix(node)
        if weight is None:
            continue
        written, read = (
            channels.of(node.outputs[0]),
            channels.of(node.inputs[0]) if node.inputs[0] is not None else None,
        )
        if written is not None and np.isin(dropped, written).any():
            bias = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
            live = weight.reshape(written.size, -1).any(axis=1) | (False if bias is None else bias.reshape(-1) != 0)
            if np.isin(dropped, written[live]).any():
                return False
        if read is not None and np.isin(dropped, read[weight.swapaxes(0, 1).reshape(read.size, -1).any(axis=1)]).any():
            return False
    return True


def _places(identities: np.ndarray, new: Mapping[int, tuple[int, Order]]) -> Order:
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


def _rearrange(node: ir.Node, places: Mapping[ir.Value, Order], channels: Channels) -> None:
    """Rearrange the rows and columns of `node`'s constants."""
    source = node.inputs[0] if node.inputs else None
    rows, columns = places.get(node.outputs[0]), places.get(source) if source is not None else None
    before = channels.of(node.outputs[0])
    if rows is None or before is None:
        return
    weight, stays = weight_matrix(node), np.array_equal(rows, np.arange(before.size))
    if weight is not None:
        columns = np.arange(weight.shape[1]) if columns is None else columns
        if stays and np.array_equal(columns, np.arange(weight.shape[1])):
            return
        moved = _taken(_taken(weight, rows).swapaxes(0, 1), columns).swapaxes(0, 1)
        untransposed = operator_of(node) == "MatMul" or (operator_of(node) == "Gemm" and not is_transposed(node))
        set_weight(node, moved.T if untransposed else moved)
        _take_bias(node, rows, before.size)
        if FILTERS in node.metadata_props:
            total, order = decode_order(node.metadata_props[FILTERS])
            node.metadata_props[FILTERS] = encode_order(total, _taken(order, rows, fill=-1))
    elif not stays:
        _rearrange_channelwise(node, rows, before.size)


def _rearrange_channelwise(node: ir.Node, rows: Order, before: int) -> None:
    """Rearrange the constants of an operator whose output has the channels of its input."""
    if is_depthwise(node, before):
        weight = array_of(node.inputs[1])
        assert weight is not None
        set_weight(node, _taken(weight, rows))
        _take_bias(node, rows, before)
        node.attributes["group"] = ir.AttrInt64("group", rows.size)
    elif operator_of(node) == "BatchNormalization":
        for index in range(1, 5):
            parameter = array_of(node.inputs[index])
            assert parameter is not None
            moved = _taken(parameter, rows, fill=1 if index == _VARIANCE else 0)
            set_input(node, index, str(index), moved)
    elif operator_of(node) in ELEMENTWISE:
        for index, value in enumerate(node.inputs):
            constant = array_of(value)
            if constant is not None and constant.size > 1:
                neutral = 1 if operator_of(node) in {"Div", "Mul"} else 0
                moved = _taken(constant.reshape(-1, 1, 1), rows, fill=neutral)
                set_input(node, index, str(index), moved)


def _take_bias(node: ir.Node, rows: Order, before: int) -> None:
    bias = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is not None and bias.size == before:
        set_bias(node, _taken(bias.reshape(-1), rows))


def _taken(array: np.ndarray, places: Order, fill: int = 0) -> np.ndarray:
    """Return the rows of `array` at `places`, `fill` where that is -1."""
    taken = array[places]
    taken[places < 0] = fill
    return taken
