"""Which lowering a layer gets where nothing has been measured: count the work, per output position.

    dense           N * K_h * K_w * C multiply-adds
    pad-slice-add   rows * C multiply-adds, and C + 5*rows + 3*N elements moved (Pad C; Slice, Concat, Gather, Split and
                    Sum read `rows` each; Sum, Concat and, in an order that is not free, Gather write N)

A moved element costs about as much as MOVE multiply-adds of a blocked convolution (`make bench` measures it), so
breaking a layer pays iff the second sum is smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.pad_slice_add import PadSliceAdd

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv

MOVE = 12
"""Multiply-adds that cost as much as moving one float32; one thread, AVX2: measured 8 to 44, most on small maps."""


def choose(conv: StripeConv) -> tuple[str, str]:
    """Return the name of the lowering for `conv` and the reason, one short phrase."""
    reason = PadSliceAdd().why_not(conv)
    if reason is not None:
        return "dense", reason
    live = conv.skeleton
    rows = live.live_stripes + int(np.count_nonzero(live.stripes_per_filter == 0))
    dense = live.stripes * conv.channels
    broken = rows * conv.channels + MOVE * (conv.channels + 5 * rows + 3 * conv.filters)
    if broken < dense:
        return "pad-slice-add", f"{dense / broken:.1f}x less work"
    return "dense", f"{broken / dense:.1f}x the work if broken"
