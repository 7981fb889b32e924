"""DepthToSpace and SpaceToDepth: channels that become pixels, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.node_view import Pins
from swp_export.graph.operators.operator import Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.routes import Moves, Route, from_input

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView


def depth_to_space(call: Call) -> np.ndarray:
    """Blocks of channels become blocks of pixels."""
    x, block = call.input(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") == "DCR":
        blocks = x.reshape(n, block, block, -1, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, -1, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(call: Call) -> np.ndarray:
    """Blocks of pixels become blocks of channels."""
    x, block = call.input(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") != "DCR":
        raise UnsupportedError("a mode other than DCR")
    blocks = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * block**2, h // block, w // block)


def _to_space(node: NodeView) -> tuple[Route | None, ...] | Pins:
    """Each channel of the output is the pixels of a block of channels, which go together."""
    layout, pixels = node.layout(0), node.integer("blocksize", 1) ** 2
    if layout is None or layout.axis != 1 or layout.ids.size % pixels:
        return Pins("makes pixels of them")
    places = np.arange(layout.ids.size)
    is_block_first = node.text("mode", "DCR") == "DCR"
    blocks = places.reshape(pixels, -1) if is_block_first else places.reshape(-1, pixels).T
    first, *others = blocks
    route = from_input(1, first)
    return (Route(1, route.origin, route.position, [(route.origin, other) for other in others]),)


def _to_depth(node: NodeView) -> tuple[Route | None, ...] | Pins:
    """Each channel becomes one for each pixel of a block."""
    layout, pixels = node.layout(0), node.integer("blocksize", 1) ** 2
    if layout is None or layout.axis != 1:
        return Pins("makes channels of pixels")
    return (from_input(1, np.tile(np.arange(layout.ids.size), pixels)),)


_TWELVE = Tensor(shape=(2, 12, 2, 3))

OPERATORS: dict[str, Operator] = {
    "DepthToSpace": Operator(
        compute=depth_to_space,
        channels=Moves(_to_space),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[_TWELVE], attributes={"blocksize": 2}),
            Example(inputs=[_TWELVE], attributes={"blocksize": 2, "mode": "CRD"}, since=11),
        ],
    ),
    "SpaceToDepth": Operator(
        compute=space_to_depth,
        channels=Moves(_to_depth),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[Tensor(shape=(2, 3, 4, 6))], attributes={"blocksize": 2})],
    ),
}
