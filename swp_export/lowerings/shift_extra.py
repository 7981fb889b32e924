"""`shift-extra`: the first stripe of every filter by `shift`; the others by `shift-sum`, added to it.

    Conv 1x1, Conv depthwise            each filter's first stripe, and the bias    [N, N_filters, H', W']
    Conv 1x1, Conv depthwise, Conv 1x1  the E other stripes, summed by filter       [N, N_filters, H', W']
    Add                                 the runtime makes the last Conv accumulate onto the first

(N + E)*(C + K_h*K_w) + E*N multiply-adds per position, against R*N for the sum of `shift-sum`; nothing is permuted and
nothing leaves the blocked layout. Pays where few filters have a second stripe, the usual case after training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings import shift_sum, window
from swp_export.lowerings.geometry import Part
from swp_export.lowerings.shifts import depthwise, filled, pointwise, round_up, stripes_of, total, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.lowerings.builder import LayerBuilder
    from swp_export.stripes import StripeConv

refuse = shift_sum.refuse


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    part = Part.of_all(conv)
    if window_of(conv).kernel == (1, 1):
        return window.emit_part(builder, x, part)
    stripes = stripes_of(conv)
    first = [of_filter[0] if of_filter else None for of_filter in stripes]
    others = [stripe for of_filter in stripes for stripe in of_filter[1:]]
    y = depthwise(builder, pointwise(builder, x, part, first), part, first, range(len(first)))
    if not others:
        return y
    rows = filled(others, round_up(len(others), builder.block))
    shifted = depthwise(builder, pointwise(builder, x, part, rows), part, rows)
    return builder.op("Add", [y, total(builder, shifted, part, rows, biased=False)], "add")
