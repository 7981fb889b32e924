"""Operators that move elements and change none: each channel of an output is one of an input."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.node_view import Layout, Pins, label_of
from swp_export.graph.operators.operator import Acts, ChannelRule, Reads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known

    Retake = Callable[[NodeView, Sequence[Places | None], Sequence[Places | None]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Route:
    """Where the channels of one output come from.

    Attributes:
        axis: the output's axis that counts them.
        origin: the input of each, int64.
        position: and its place there, int64.
        alike: other inputs or places, of the same size each, that must be the same channels: what stands at one place
            of `axis` came from all of them.
        whole: each channel's map is moved as a whole: nothing along other axes.

    """

    axis: int
    origin: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    alike: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = ()
    whole: bool = False

    @property
    def sources(self) -> Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """All inputs and places of the channels."""
        return ((self.origin, self.position), *self.alike)


def from_input(axis: int, position: npt.ArrayLike, index: int = 0, *, whole: bool = False) -> Route:
    """Return the route whose channels are those at `position` of one input."""
    places = np.asarray(position, np.int64)
    return Route(axis, np.full(places.size, index, np.int64), places, whole=whole)


class Moves(ChannelRule):
    """Channels run as `route` says.

    Args:
        route: returns the route of each output, or why there is none.
        retake: changes the node's constants as its channels change; None where it needs none.

    """

    def __init__(
        self, route: Callable[[NodeView], tuple[Route | None, ...] | Pins], retake: Retake | None = None
    ) -> None:
        super().__init__()
        self._route, self._retake = route, retake

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Give each output the channels of where it comes from; a constant input has its own."""
        routes = self._route(node)
        if isinstance(routes, Pins):
            return routes
        layouts: list[Layout | None] = []
        for route in routes:
            if route is None:
                layouts.append(None)
                continue
            first, *others = (_ids(node, origin, position) for origin, position in route.sources)
            for other in others:
                node.identities.unite(first, other)
            layouts.append(Layout(route.axis, first))
        return tuple(layouts)

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Return the constants of where each channel comes from."""
        del evaluate
        routes = self._route(node)
        assert not isinstance(routes, Pins)
        results: list[Known | None] = []
        for route in routes:
            if route is None:
                results.append(None)
                continue
            first, *others = (_known(known, origin, position) for origin, position in route.sources)
            for other in others:
                first = np.where(first == other, first, np.nan)
            results.append(first)
        return tuple(results)

    def acts(self, node: NodeView) -> Acts:
        """Whole maps, or parts of them."""
        routes = self._route(node)
        whole = not isinstance(routes, Pins) and all(route is None or route.whole for route in routes)
        return Acts.MOVES if whole else Acts.OTHERWISE

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Let `retake` change what the node says of places and sizes."""
        if self._retake is not None:
            self._retake(node, inputs, outputs)


class Selects(Moves):
    """Whole channels of one input are chosen: each may go by itself, and those of the input that nothing else reads."""

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Give the output channels of its own."""
        layouts, routes = super().flow(node), self._route(node)
        if isinstance(layouts, Pins) or isinstance(routes, Pins):
            return layouts
        return tuple(
            Layout(route.axis, node.identities.fresh(route.position.size))
            if route is not None and route.whole
            else given
            for route, given in zip(routes, layouts, strict=True)
        )

    def reads(self, node: NodeView) -> Reads | None:
        """Return which channel each is."""
        routes, rows, columns = self._route(node), node.output_layout(), node.layout(0)
        if isinstance(routes, Pins) or rows is None or columns is None:
            return None
        (route,) = routes
        if route is None or not route.whole:
            return None
        chosen = route.position[:, None] == np.arange(columns.ids.size)
        return Reads(rows.ids, columns.ids, chosen)


def _ids(node: NodeView, origin: np.ndarray, position: np.ndarray) -> np.ndarray:
    ids = np.zeros(origin.size, np.int64)
    for index in np.unique(origin).tolist():
        here, layout = origin == index, node.layout(index)
        if layout is None:  # its channels are its own
            ids[here] = node.identities.fresh(int(here.sum()))
            if node.constant(index) is None:
                node.identities.pin(ids[here], f"{label_of(node.node)} joins them to others")
        else:
            ids[here] = layout.ids[position[here]]
    return ids


def _known(known: Sequence[Known | None], origin: np.ndarray, position: np.ndarray) -> np.ndarray:
    result = np.full(origin.size, np.nan)
    for index in np.unique(origin).tolist():
        values = known[index]
        if values is not None:
            here = origin == index
            result[here] = values[position[here]]
    return result
