"""Operators on each element: of one tensor, or of several of the same channels, broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import set_input
from swp_export.graph.operators.node_view import Layout, Pins, taken
from swp_export.graph.operators.operator import Acts, ChannelRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known


_PROBES = np.array([-30.0, -1.5, -0.5, 0.0, 0.5, 1.5, 30.0])
_MOST_PROBED = 3
"""Operands that are tried one beside the other; more of them are joined by sums and extremes alone."""


class Elementwise(ChannelRule):
    """Each element of the output follows from those at its place, or broadcast to it.

    Args:
        fill: what constants hold beside a channel of zeros that is new, so that it stays a number.
        absorbs_zero: a product: an operand that is exactly zero decides the result, whatever the others are.

    """

    def __init__(self, fill: float = 0.0, *, absorbs_zero: bool = False) -> None:
        super().__init__()
        self._fill, self._absorbs_zero = fill, absorbs_zero

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Unite the channels of all operands that have as many."""
        if any(node.is_read(index) for index in range(1, len(node.node.outputs))):
            return Pins("gives more than one output of them")
        ranks = [node.rank(i) for i, value in enumerate(node.node.inputs) if value is not None]
        if None in ranks:
            return Pins("reads a tensor of unknown rank beside them")
        rank = max((r for r in ranks if r is not None), default=0)
        operands = {i: layout for i in node.computed() if (layout := node.layout(i)) is not None}
        wide = {i: layout for i, layout in operands.items() if layout.ids.size > 1} or operands
        if not wide:
            return Pins("reads a tensor whose channels are not known")
        axes = {layout.axis + rank - (node.rank(i) or 0) for i, layout in wide.items()}
        sizes = {layout.ids.size for layout in wide.values()}
        if len(axes) > 1 or len(sizes) > 1:
            return Pins("aligns them with another axis")
        (axis,), (size,) = axes, sizes
        for index, value in enumerate(node.node.inputs):
            if (
                value is not None
                and index not in wide
                and _size_along(node, index, axis, rank) not in ({1, size} if node.constant(index) is not None else {1})
            ):
                return Pins("reads a tensor beside them whose channels are not known")
        first, *others = wide.values()
        for other in others:
            node.identities.unite(first.ids, other.ids)
        for index in operands.keys() - wide.keys():
            node.pin(index, "broadcasts them")
        return (Layout(axis, node.identities.roots(first.ids)), *[None] * (len(node.node.outputs) - 1))

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Compute the result where every operand is known."""
        layout = node.output_layout()
        assert layout is not None
        rank, size = max(node.rank(i) or 0 for i in range(len(node.node.inputs))), layout.ids.size
        operands = [_operand(node, i, known[i], layout.axis, rank, size) for i in range(len(node.node.inputs))]
        unknown = np.zeros(size, bool)
        for operand in operands:
            if operand is not None and operand.dtype.kind == "f":
                unknown |= np.isnan(operand)
        result = evaluate(operands)
        outputs = len(node.node.outputs)
        if result is None or result.shape not in {(size,), ()}:
            return (None,) * outputs
        result = np.where(unknown | ~np.isfinite(result), np.nan, result.astype(np.float64))
        if self._absorbs_zero:
            zero = np.zeros(size, bool)
            for operand in operands:
                zero |= operand == 0
            result = np.where(zero, 0.0, result)
        return (result, *[None] * (outputs - 1))

    def acts(self, node: NodeView) -> Acts:
        """By the elements of each place."""
        del node
        return Acts.BY_PLACE

    def stays_finite(self, node: NodeView, evaluate: Evaluate) -> bool:
        """Try some values, each beside each."""
        computed = node.computed()
        grid = np.stack(np.meshgrid(*[_PROBES] * min(len(computed), _MOST_PROBED))).reshape(
            -1, _PROBES.size ** min(len(computed), _MOST_PROBED)
        )
        operands: list[np.ndarray | None] = []
        for index in range(len(node.node.inputs)):
            array = node.constant(index)
            if index in computed:
                operands.append(grid[min(computed.index(index), _MOST_PROBED - 1)])
            elif array is not None and array.size == 1:
                operands.append(array.reshape(()))
            else:
                operands.append(None if array is None else np.full(grid.shape[1], self._fill))
        result = evaluate(operands)
        return result is not None and bool(np.isfinite(result.astype(np.float64)).all())

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Cut the constants that have a number for each channel."""
        del inputs
        layout, places = node.output_layout(), outputs[0]
        assert layout is not None
        assert places is not None
        rank = max(node.rank(i) or 0 for i in range(len(node.node.inputs)))
        for index in range(len(node.node.inputs)):
            array, axis = node.constant(index), layout.axis - rank + (node.rank(index) or 0)
            if array is not None and axis >= 0 and array.shape[axis] > 1:
                set_input(node.node, index, str(index), taken(array, places, axis, self._fill))


def _size_along(node: NodeView, index: int, axis: int, rank: int) -> object:
    """Return the size of an input along `axis` of an output of `rank` axes, 1 where it is broadcast there."""
    shape = node.shape(index)
    own = axis - rank + len(shape or ())
    return None if shape is None else 1 if own < 0 else shape[own]


def _operand(node: NodeView, index: int, known: Known | None, axis: int, rank: int, size: int) -> np.ndarray | None:
    """Return what an input holds for each of `size` channels, NaN where that is unknown or differs along other axes."""
    if node.input(index) is None:
        return None
    array = node.constant(index)
    if array is None:
        layout = node.layout(index)
        if known is None or (layout is not None and layout.ids.size == 1 < size):
            return np.full(size, np.nan if known is None else known[0])
        return known
    own = axis - rank + array.ndim
    if array.size == 1:
        return array.reshape(())  # it may be a bound or an exponent that must be a scalar
    is_shared = own < 0 or array.shape[own] == 1
    flat = array.reshape(1, -1) if is_shared else np.moveaxis(array, own, 0).reshape(size, -1)
    alike = (flat == flat[:, :1]).all(axis=1)
    return np.broadcast_to(flat[:, 0] if alike.all() else np.where(alike, flat[:, 0], np.nan), (size,))
