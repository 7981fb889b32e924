"""`shift-extra`: the first stripe of every filter by `shift`; the others by `shift-groups`, added to it.

    Conv 1x1, Conv depthwise            each filter's first stripe, and the bias          [N, N_filters, H', W']
    Conv 1x1, Conv depthwise, Conv 1x1  the other stripes, summed by filter in groups     [N, N_filters, H', W']
    Add                                 the runtime makes the last Conv accumulate onto the first

With groups of g filters that have up to e other stripes each group, N/g*e = E rows, that is (N + E)*(C + K_h*K_w) + N*e
multiply-adds per position, against R*N for the sum of `shift-sum`; nothing leaves the blocked layout. Where the order
of the filters is free, `order` deals out the filters with other stripes evenly. Pays where few filters have a second
stripe, the usual case after training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings import shift_groups, shift_sum, window
from swp_export.lowerings.geometry import Part
from swp_export.lowerings.shifts import DEPTHWISE, depthwise, pointwise, stripes_of, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.lowerings.builder import LayerBuilder
    from swp_export.lowerings.groups import Labels
    from swp_export.stripes import StripeConv

refuse = shift_sum.refuse


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    part = Part.of_all(conv)
    if window_of(conv).kernel == (1, 1):
        return window.emit_part(builder, x, part)
    stripes = stripes_of(conv)
    first = [of_filter[0] if of_filter else None for of_filter in stripes]
    y = depthwise(builder, pointwise(builder, x, part, first), part, first, range(len(first)))
    others = [of_filter[1:] for of_filter in stripes]
    if not any(others):
        return y
    return builder.op("Add", [y, shift_groups.summed_in_groups(builder, x, part, others, biased=False)], "add")


def order(conv: StripeConv, block: int) -> Labels:
    """Return the filters of `conv`, -1 for one of zeros, so that equal groups have about equally many other stripes."""
    others = np.maximum(conv.skeleton.stripes_per_filter - 1, 0)
    return shift_groups.balanced(conv.channels, others, block, per_filter=conv.channels + DEPTHWISE)
