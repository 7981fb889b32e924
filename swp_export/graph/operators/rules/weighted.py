"""Convolutions and matrix products: each channel of the output is a weighted sum over channels of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.metadata import FILTERS, decode_order, encode_order
from swp_export.graph.operators.fixed_maps import CONSTANT, FixedMaps, Space, space_of_kinds
from swp_export.graph.operators.node_view import Layout, Pins, taken
from swp_export.graph.operators.operator import ChannelRule, Reads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known
    from swp_export.graph.operators.weights import Weights


class Weighted(ChannelRule):
    """A weighted sum over channels.

    Of a grouped one, each group of channels goes as a whole, with its filters: a depthwise filter with its channel.

    Args:
        read: returns the node's constants, or why they cannot be told; `node.inputs[0]` is what they are applied to.
        write: gives the node a weight in the form of `Weights`, a bias or None for the one it has, and a group.

    """

    def __init__(
        self,
        read: Callable[[ir.Node], Weights | Pins],
        write: Callable[[ir.Node, np.ndarray, np.ndarray | None, int], None],
    ) -> None:
        super().__init__()
        self._read, self._write = read, write

    def weights(self, node: ir.Node) -> Weights | None:
        """Return the constants of `node`, None where they cannot be told."""
        weights = self._read(node)
        return None if isinstance(weights, Pins) else weights

    def replace(self, node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int = 1) -> None:
        """Give `node` other constants, in the form of `Weights`; no bias leaves the one it has."""
        self._write(node, weight, bias, group)

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Give the output channels of its own; of a grouped one those of the group that it reads."""
        weights = self._read(node.node)
        if isinstance(weights, Pins):
            return weights
        for index in node.computed()[1:]:
            node.pin(index, "computes with them as a weight")
        ids = node.ids_along(0, weights.axis, "reads another axis of them as channels")
        if ids is not None and ids.size != weights.channels:
            return Pins("does not fit their number")
        if weights.group == 1:
            return (Layout(weights.axis, node.identities.fresh(weights.filters)),)
        if ids is None:
            return Pins("reads a tensor in groups whose channels are not known")
        of_group = ids.reshape(weights.group, -1)
        for column in range(1, of_group.shape[1]):
            node.identities.unite(of_group[:, 0], of_group[:, column])
        first = node.identities.roots(of_group[:, 0])
        return (Layout(weights.axis, np.repeat(first, weights.filters // weights.group)),)

    def reads(self, node: NodeView) -> Reads | None:
        """Return which channels each filter reads by a weight that is not zero; of groups all follow anyway."""
        weights, rows, columns = self.weights(node.node), node.output_layout(), node.layout(0)
        if weights is None or rows is None or weights.group != 1:
            return None
        if columns is None or columns.axis != weights.axis:
            return Reads(rows.ids, np.zeros(0, np.int64), np.zeros((weights.filters, 0), bool))
        live = (weights.weight.reshape(weights.filters, weights.channels, -1) != 0).any(axis=2)
        return Reads(rows.ids, columns.ids, live)

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Return the bias of filters that read nothing, and what those give that read constants only, if that is one.

        A tap that sees padding makes no constant of one that is not zero.
        """
        del evaluate
        weights = self.weights(node.node)
        assert weights is not None
        # What is known may be of another axis than the one that the weights sum over.
        fits = known[0] is not None and len(known[0]) == weights.channels
        source = known[0] if known[0] is not None and fits else np.full(weights.channels, np.nan)
        result, columns = weights.biases().astype(np.float64), weights.weight.shape[1]
        per_group = weights.filters // weights.group
        varying = weights.reading(np.isnan(source))
        result[varying] = np.nan
        for number in np.flatnonzero(~varying & weights.reading(source != 0)).tolist():
            first = number // per_group * columns
            result[number] += _sum_of_constants(weights.weight[number], source[first : first + columns], weights.padded)
        return (result,)

    def fixed_maps(
        self, node: NodeView, known: Sequence[FixedMaps | None], evaluate: Evaluate
    ) -> tuple[FixedMaps | None, ...]:
        """Return beside the constants what filters give that read fixed maps only.

        A constant behind zero padding has one value at each kind of place; a single tap that moves nothing gives the
        sum of what it reads.
        """
        maps, weights = known[0], self.weights(node.node)
        if maps is not None and weights is not None and len(maps.values) != weights.channels:
            maps = None
        (constants,) = self.constants(node, [None if maps is None else maps.constants()], evaluate)
        assert constants is not None
        assert weights is not None
        result = FixedMaps.of(constants)
        if maps is None:
            return (result,)
        values = maps.values
        if weights.in_place:
            if maps.space is CONSTANT:
                return (result,)
            space, seen = Space(maps.space.ones, kinds=maps.space.kinds), np.ones((1, 1), bool)
        elif weights.seen is None:
            return (result,)
        else:
            values, seen = maps.constants()[:, None], weights.seen.reshape(weights.seen.shape[0], -1)
            space = space_of_kinds(seen.shape[0])
        result = FixedMaps(space, result.within(space).copy())
        columns, per_group = weights.weight.shape[1], weights.filters // weights.group
        varying = weights.reading(np.isnan(values).any(axis=1))
        result.values[varying] = np.nan
        for number in np.flatnonzero(np.isnan(constants) & ~varying).tolist():
            first = number // per_group * columns
            row = weights.weight[number].reshape(columns, -1)
            total = _sum_of_maps(row, values[first : first + columns], seen)
            result.values[number] = total + float(weights.biases()[number]) * space.ones
        return (result,)

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Cut rows and columns; of a grouped one whole groups."""
        weights, columns, rows = self.weights(node.node), inputs[0], outputs[0]
        assert weights is not None
        assert rows is not None
        weight, group = taken(weights.weight, rows), 1
        if weights.group == 1:
            weight = weight if columns is None else taken(weight, columns, axis=1)
        else:
            assert columns is not None
            group = columns.size // weights.weight.shape[1]
        self._write(node.node, weight, None if weights.bias is None else taken(weights.bias, rows), group)
        _take_filters(node.node, rows)


def _sum_of_constants(row: np.ndarray, values: Known, padded: np.ndarray) -> float:
    """Return what the filter `row` `[C, *kernel]` makes of constants `values` `[C]`, NaN where that is no constant.

    Of a channel that it does not read the value may be NaN.
    """
    held = np.flatnonzero(~np.isnan(values) & (values != 0))
    taps = row[held].reshape(held.size, padded.size).astype(np.float64)
    return np.nan if taps[:, padded.reshape(-1)].any() else float(values[held] @ taps.sum(axis=1))


def _sum_of_maps(row: np.ndarray, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return `[kinds]` what the filter `row` `[C, taps]` makes of fixed maps.

    Args:
        row: a filter's weights, zero where a map varies.
        values: float64 `[C, maps]`; of several maps where there is one tap only.
        seen: bool `[kinds, taps]`: which taps see the map.

    """
    live = row.any(axis=1)
    by_tap = row[live].T.astype(np.float64) @ values[live]
    # Tap by tap, so that kinds that see the same live taps get the same bits.
    return (by_tap * seen.T).sum(axis=0) if values.shape[1] == 1 else by_tap[0]


def _take_filters(node: ir.Node, rows: Places) -> None:
    """Say which of the layer's filters are left."""
    if FILTERS in node.metadata_props:
        total, order = decode_order(node.metadata_props[FILTERS])
        node.metadata_props[FILTERS] = encode_order(total, taken(order, rows, fill=-1))
