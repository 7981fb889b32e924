"""`shift-sum`: a 1x1 Conv to all live stripes, a depthwise Conv that shifts them, a 1x1 Conv that sums them.

    Conv 1x1        all live stripes, and rows of zeros that fill blocks      [N, R, H, W]
    Conv depthwise  one-hot: each row to its tap                              [N, R, H', W']
    Conv 1x1        0/1: sums each filter's rows, adds its bias               [N, N_filters, H', W']

R*(C + N) + K_h*K_w*R multiply-adds per position. The filters keep their order, so a residual Add and a Relu fuse into
the last Conv: the form for layers whose channel order is not free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.fill import filled_rows, round_up
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import shifted, stripes_of, summed
from swp_export.lowerings.parts.window import emit_window, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


class ShiftSum(Lowering):
    """See the module's docstring."""

    name = "shift-sum"

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write three Convs, or one where nothing needs a shift."""
        return emit_summed_stripes(builder, x, Part.of_all(conv))


def emit_summed_stripes(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` and return its output; a window of one tap needs no shift and is one Conv."""
    if window_of(part.conv, part.conv.skeleton.live_taps).kernel == (1, 1):
        return emit_window(builder, x, part)
    live = [stripe for stripes in stripes_of(part.conv) for stripe in stripes]
    rows = filled_rows(live, round_up(len(live), builder.multiple))
    return summed(builder, shifted(builder, x, part, rows), part, rows)
