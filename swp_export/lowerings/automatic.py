"""`auto`: the form of each layer by count alone, so that every machine writes the same bytes.

`sliced-ellpack` cuts a layer into slices, each written as what costs least: dense, columns, or summed as `shift-sum`
does. What that is depends on the price of a node, and that follows from the map: a run computes so many positions of
it, images times height times width. `auto` takes the nearest of NODE_PRICES. Channels are filled up to blocks of
AVX-512, which are whole blocks of AVX2 too.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from swp_export.lowerings.dense import Dense
from swp_export.lowerings.parts.fill import round_up
from swp_export.lowerings.parts.prices import WRITE, node_price
from swp_export.lowerings.parts.slices import Layout, cheapest_order, cheapest_slices
from swp_export.lowerings.sliced_ellpack import NODE_PRICES, SlicedEllpack

if TYPE_CHECKING:
    from swp_export.lowerings.parts.slices import Slices
    from swp_export.stripes import StripeConv

AUTO = "auto"
"""What it is called where the name of a lowering is expected."""
GAIN = 0.9
"""Slices must cost at most so many times as much as one dense Conv: no count is right to a few percent."""
IMAGE = 4
"""Channels of an image, at most."""
AUTO_MULTIPLE = 16
"""What channels and rows are filled up to a multiple of."""


def automatic(conv: StripeConv, positions: int, threads: int = 1) -> tuple[str, str]:
    """Return the name of the lowering for `conv`, of whose output a run computes `positions`, and why in a phrase."""
    form = SlicedEllpack(nearest_price(positions, threads))
    reason = form.why_not(conv)
    if reason is not None:
        return Dense.name, reason
    slices, dense = _slices(conv, form.price), _dense(conv, form.price)
    if slices.cost > GAIN * dense:
        return Dense.name, "slices gain too little"
    return form.name, f"{dense / slices.cost:.1f}x less work"


def automatic_cost_per_position(conv: StripeConv, positions: int) -> float:
    """Return what `conv` costs as it is written here, in multiply-adds at each of its positions."""
    price = nearest_price(positions)
    dense = _dense(conv, price)
    if conv.kernel == (1, 1):
        return dense
    slices = _slices(conv, price)
    return dense if slices.cost > GAIN * dense else slices.cost


def nearest_price(positions: int, threads: int = 1) -> int:
    """Return the one of NODE_PRICES that is nearest, by ratio, to that of a node on `positions` positions."""
    price = node_price(positions, threads)
    return min(NODE_PRICES, key=lambda known: abs(math.log(known / price)))


def _filled(channels: int) -> int:
    """Return the channels of a layer's input once the layer before it is filled up; those of an image stay."""
    return round_up(channels, AUTO_MULTIPLE) if channels > IMAGE else channels


def _dense(conv: StripeConv, price: int) -> float:
    return (
        round_up(conv.filters, AUTO_MULTIPLE) * (_filled(conv.channels) * conv.kernel[0] * conv.kernel[1] + WRITE)
        + price
    )


def _slices(conv: StripeConv, price: int) -> Slices:
    layout = dataclasses.replace(Layout.of(conv), channels=_filled(conv.channels))
    return cheapest_slices(layout.ordered(cheapest_order(layout, AUTO_MULTIPLE, price)), AUTO_MULTIPLE, price)
