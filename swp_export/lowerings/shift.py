"""`shift`: filters with at most one live stripe need no sum.

    Conv 1x1        each filter's stripe, zeros for a filter without          [N, N_filters, H, W]
    Conv depthwise  one-hot: each row to its tap; adds the bias               [N, N_filters, H', W']

N*(C + K_h*K_w) multiply-adds per position. Row f is filter f, so nothing is permuted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import in_every_geometry, layer, mask_of_counts
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import shifted, stripes_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


class Shift(Lowering):
    """See the module's docstring."""

    name = "shift"

    def why_not(self, conv: StripeConv) -> str | None:
        """Return why `conv` cannot be written so: a 1x1 kernel, or a filter with a second stripe."""
        reason = super().why_not(conv)
        if reason is None and (most := int(conv.skeleton.stripes_per_filter.max(initial=0))) > 1:
            reason = f"a filter has {most} live stripes, more than one"
        return reason

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write two Convs, or one where all stripes are at one tap that needs no shift."""
        return emit_single_stripes(builder, x, Part.of_all(conv))

    def examples(self) -> list[StripeConv]:
        """Return layers of filters with one stripe, or none."""
        mask = mask_of_counts([1, 0, *[1] * 17, 0])
        return [
            *super().examples(),
            *in_every_geometry("one stripe each", mask),
            layer("one tap", mask & (np.arange(9).reshape(3, 3) == 4)),
        ]


def emit_single_stripes(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x`, whose filters have at most one live stripe, and return its output."""
    rows = [stripes[0] if stripes else None for stripes in stripes_of(part.conv)]
    return shifted(builder, x, part, rows, range(len(rows)))
