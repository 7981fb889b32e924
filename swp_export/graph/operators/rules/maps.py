"""Operators on the map of each channel by itself: pools, resizing, padding, normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import set_input
from swp_export.graph.operators.node_view import Layout, Pins, taken
from swp_export.graph.operators.operator import Acts, ChannelRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known

    Axes = Callable[[NodeView], set[int] | None]
    Tells = Callable[[NodeView], bool]
    MapConstant = Callable[[NodeView, Known, Evaluate], Known]


def behind_channels(node: NodeView) -> set[int] | None:
    """Return the axes from the third on, which convolutions and pools act on."""
    rank = node.rank(0)
    return None if rank is None else {*range(2, rank)}


def none(node: NodeView) -> set[int] | None:
    """Return no axis: each element is computed by itself."""
    del node
    return set()


def stated_axis(default: int) -> Axes:
    """Return what returns the axis that a node states, `default` where it states none."""

    def axes(node: NodeView) -> set[int] | None:
        rank = node.rank(0)
        return None if rank is None else {node.integer("axis", default) % rank}

    return axes


def always(node: NodeView) -> bool:
    """Return that it holds whatever the node's settings."""
    del node
    return True


def never(node: NodeView) -> bool:
    """Return that it holds for no setting."""
    del node
    return False


def kept(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Return that a map that is constant stays what it is."""
    del node, evaluate
    return known


def zero_kept(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Return that a map of zeros stays one, and nothing of others."""
    del node, evaluate
    return np.where(known == 0, 0.0, np.nan)


def unknown(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Return that nothing is known of what a constant becomes."""
    del node, evaluate
    return np.full(known.size, np.nan)


def evaluated(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Compute it on maps of a single element."""
    layout = node.layout(0)
    assert layout is not None
    shape = [1] * (node.rank(0) or 0)
    shape[layout.axis] = known.size
    others = [node.constant(index) for index in range(1, len(node.node.inputs))]
    result = evaluate([known.reshape(shape), *others])
    if result is None or result.size != known.size:
        return np.full(known.size, np.nan)
    result = result.reshape(-1)
    return np.where(np.isfinite(result), result, np.nan)


class MapWise(ChannelRule):
    """The output has the channels of the first input, whose map each of its own follows from.

    Args:
        axes: returns the axes along which elements are joined; None where that is not known.
        constant: returns what maps become that hold a constant.
        parameters: inputs that are constants with one number for each channel, and what they hold for one of zeros.
        others: how many inputs beside those may be computed.
        removes: returns the axes that the output lacks.
        joins: what it does to channels when the axes are theirs, to complete "because node X ...".
        finite: a map of finite numbers gives such.
        linear: tells whether it is a linear function of each map, the same for all.

    """

    def __init__(
        self,
        axes: Axes = behind_channels,
        constant: MapConstant = kept,
        *,
        parameters: Mapping[int, float] | None = None,
        others: int = 0,
        removes: Axes = none,
        joins: str = "joins all of them",
        finite: bool = True,
        linear: Tells = never,
    ) -> None:
        super().__init__()
        self._linear = linear
        self._axes, self._constant, self._removes = axes, constant, removes
        self._parameters, self._others, self._joins, self._finite = parameters or {}, others, joins, finite

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Pass the channels on where no axis that is joined is theirs."""
        layout, axes, removed = node.layout(0), self._axes(node), self._removes(node)
        if layout is None:
            return Pins("reads a tensor whose channels are not known")
        if axes is None or removed is None:
            return Pins("acts on axes that are not stated")
        if layout.axis in axes:
            return Pins(self._joins)
        if self._parameters and layout.axis != 1:
            return Pins("has a number for each of another axis than theirs")
        if any(node.is_read(index) for index in range(1, len(node.node.outputs))):
            return Pins("gives more than one output of them")
        if len(node.computed()) > 1 + self._others:
            return Pins("reads them beside another tensor")
        if any(_size(node, index) not in {1, layout.ids.size} for index in self._parameters):
            return Pins("has another number of parameters than there are channels")
        for index in node.computed()[1:]:
            node.pin(index, "reads them as places")
        axis = layout.axis - sum(axis < layout.axis for axis in removed)
        return (Layout(axis, layout.ids), *[None] * (len(node.node.outputs) - 1))

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Return what constant maps become."""
        (first, *_), outputs = known, len(node.node.outputs)
        result = None if first is None else self._constant(node, first, evaluate)
        return (result, *[None] * (outputs - 1))

    def acts(self, node: NodeView) -> Acts:
        """By element where no axis is joined."""
        if self._linear(node):
            return Acts.LINEAR
        return Acts.OTHERWISE if self._axes(node) or self._removes(node) else Acts.BY_PLACE

    def stays_finite(self, node: NodeView, evaluate: Evaluate) -> bool:
        """All but logarithms of sums do."""
        del node, evaluate
        return self._finite

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Cut the parameters."""
        del inputs
        layout, places = node.layout(0), outputs[0]
        assert layout is not None
        assert places is not None
        for index, fill in self._parameters.items():
            array = node.constant(index)
            if array is not None and array.size == layout.ids.size:
                set_input(node.node, index, str(index), taken(array.reshape(-1), places, fill=fill))


def _size(node: NodeView, index: int) -> int:
    array = node.constant(index)
    return 1 if node.input(index) is None else -1 if array is None else array.size
