"""`auto`: the form of each layer by count alone, so that every machine writes the same bytes.

`sliced-ellpack` cuts a layer into slices, each written as what costs least: dense, columns, or summed as `shift-sum`
does. What that is depends on the price of a node, and that follows from the map: a run computes so many positions of
it, images times height times width. `auto` takes the nearest of NODE_PRICES. Channels are filled up to blocks of AVX-512,
which are whole blocks of AVX2 too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swp_export.lowerings.dense import Dense
from swp_export.lowerings.parts.prices import node_price
from swp_export.lowerings.parts.slices import Layout, cheapest_order, cheapest_slices
from swp_export.lowerings.sliced_ellpack import NODE_PRICES, SlicedEllpack

if TYPE_CHECKING:
    from swp_export.lowerings.parts.slices import Slices
    from swp_export.stripes import StripeConv

AUTO = "auto"
"""What it is called where the name of a lowering is expected."""
AUTO_MULTIPLE = 16
"""What channels and rows are filled up to a multiple of."""


def automatic(conv: StripeConv, positions: int) -> tuple[str, str]:
    """Return the name of the lowering for `conv`, of whose output a run computes `positions`, and why in a phrase."""
    form = SlicedEllpack(nearest_price(positions))
    reason = form.why_not(conv)
    if reason is not None:
        return Dense.name, reason
    slices = automatic_slices(conv, form.price)
    if len(slices.slices) == 1 and slices.slices[0].dense:
        return Dense.name, "by count no slices are cheaper"
    return form.name, f"a node costs as much as {form.price} products at each of {positions} positions"


def nearest_price(positions: int) -> int:
    """Return the one of NODE_PRICES that is nearest, by ratio, to that of a node on `positions` positions."""
    price = node_price(positions)
    return min(NODE_PRICES, key=lambda known: abs(math.log(known / price)))


def automatic_slices(conv: StripeConv, price: int) -> Slices:
    """Return the slices of `conv` that cost least at the `price` of a node, in the order that suits them best."""
    layout = Layout.of(conv)
    return cheapest_slices(layout.ordered(cheapest_order(layout, AUTO_MULTIPLE, price)), AUTO_MULTIPLE, price)
