"""`shift-sum`: a 1x1 Conv to all live stripes, a depthwise Conv that shifts them, a 1x1 Conv that sums them.

    Conv 1x1        all live stripes, and rows of zeros up to the block       [N, R, H, W]
    Conv depthwise  one-hot: each row to its tap                              [N, R, H', W']
    Conv 1x1        0/1: sums each filter's rows, adds its bias               [N, N_filters, H', W']

R*(C + N) + K_h*K_w*R multiply-adds per position. The filters keep their order, so a residual Add and a Relu fuse into
the last Conv: the form for layers whose channel order is not free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings.parts import window
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import filled, round_up, shifted, stripes_of, total, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


def refuse(conv: StripeConv) -> str | None:
    """Return why `conv` cannot be written by shifts: a 1x1 kernel shifts nothing."""
    return "a 1x1 kernel has a single tap" if conv.kernel == (1, 1) else None


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    return emit_part(builder, x, Part.of_all(conv))


def emit_part(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` and return its output; a window of one tap needs no shift and is one Conv."""
    if window_of(part.conv, part.conv.skeleton.live_taps).kernel == (1, 1):
        return window.emit_part(builder, x, part)
    live = [stripe for stripes in stripes_of(part.conv) for stripe in stripes]
    rows = filled(live, round_up(len(live), builder.block))
    return total(builder, shifted(builder, x, part, rows), part, rows)
