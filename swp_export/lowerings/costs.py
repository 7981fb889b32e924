"""What a layer costs before it is written: multiply-adds of a blocked 1x1 Conv that take as long as one run of it.

    dense           N' * C' * K_h*K_w products at each position, in blocks of rows; one node
    pad-slice-add   rows * C' products; C + 5*rows + 3*N elements moved (Pad C; Slice, Concat, Gather, Split and Sum
                    read `rows` each; Sum, Concat and, in an order that is not free, Gather write N); a node each
    auto            what `parts/slices.py` counts of the slices that it takes

N' and C' are filled up as the runtime does, or the writer before it. `parts/prices.py` says what a moved element, a
node and a weight cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.automatic import automatic_cost_per_position
from swp_export.lowerings.parts.fill import round_up
from swp_export.lowerings.parts.prices import MOVE, MOVED_ROW, NODE, PADDED, SLOW_NODE, WEIGHT
from swp_export.lowerings.parts.stripe_rows import stripe_rows

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv

BLOCK = 16
"""Filters that a Conv computes at once, with AVX-512: 17 take as long as 32."""
BESIDE = 8
"""Nodes of `pad-slice-add` that every layer has: Conv, Concat, Gather, Split, Concat, a Relu that nothing fuses, and
two that leave the blocked layout and go back into it."""


def static_cost(conv: StripeConv, lowering: str, positions: int) -> float:
    """Return what `conv` costs written by `lowering`, which is "dense" or "pad-slice-add", on so many positions."""
    return pad_slice_add_cost(conv, positions) if lowering == "pad-slice-add" else dense_cost(conv, positions)


def dense_cost(conv: StripeConv, positions: int) -> float:
    """Return what one Conv of `conv` costs."""
    weights = round_up(conv.filters, BLOCK) * conv.channels * conv.kernel[0] * conv.kernel[1]
    return weights * (positions + WEIGHT) + NODE


def pad_slice_add_cost(conv: StripeConv, positions: int) -> float:
    """Return what `conv` costs broken into its live stripes."""
    layout = stripe_rows(conv)
    counts = np.maximum(conv.skeleton.stripes_per_filter, 1)
    rows = int(counts.sum())
    moved = conv.channels + 5 * rows + 3 * conv.filters
    planes = len(layout.planes)
    sums = np.unique(counts[counts > 1]).size
    nodes = BESIDE + len(layout.offsets) + sums + (2 * planes if planes > 1 else 0)
    products = rows * conv.channels * (PADDED * positions + WEIGHT)
    return products + MOVE * moved * positions + MOVED_ROW * rows + SLOW_NODE * nodes


def automatic_cost(conv: StripeConv, positions: int) -> float:
    """Return what `conv` costs as `auto` writes it."""
    return automatic_cost_per_position(conv, positions) * (positions + WEIGHT)
