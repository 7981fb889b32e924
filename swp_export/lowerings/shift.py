"""`shift`: filters with at most one live stripe need no sum.

    Conv 1x1        each filter's stripe, zeros for a filter without          [N, N_filters, H, W]
    Conv depthwise  one-hot: each row to its tap; adds the bias               [N, N_filters, H', W']

N*(C + K_h*K_w) multiply-adds per position. Row f is filter f, so nothing is permuted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings import shift_sum
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import shifted, stripes_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


def refuse(conv: StripeConv) -> str | None:
    """Return why `conv` cannot be written so: a 1x1 kernel, or a filter with a second stripe."""
    most = int(conv.skeleton.stripes_per_filter.max(initial=0))
    return shift_sum.refuse(conv) or (f"a filter has {most} live stripes, more than one" if most > 1 else None)


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    return emit_part(builder, x, Part.of_all(conv))


def emit_part(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` and return its output."""
    rows = [stripes[0] if stripes else None for stripes in stripes_of(part.conv)]
    return shifted(builder, x, part, rows, range(len(rows)))
