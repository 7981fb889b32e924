"""`shift-chunks`: as `shift-sum`, but the sum adds equal chunks of rows instead of multiplying by a 0/1 matrix.

    Conv 1x1        filters by number of stripes m; in each bucket the first stripes, the second, ...   [N, R, H, W]
    Conv depthwise  one-hot: each row to its tap; a filter's bias on its first row                      [N, R, H', W']
    Split           into chunks, m for a bucket
    Sum             the m chunks of each bucket
    Concat          the buckets                                                         [N, N_filters, H', W']

Moves 3*R + 2*N maps where `shift-sum` computes R*N products, but leaves the blocked layout, so the Relu after it fuses
with nothing. A Gather restores the order of the filters where they are not ordered by their number of stripes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.fill import filled_before, filled_rows, round_up
from swp_export.lowerings.parts.filter_groups import groups_of, in_order, joined
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import depthwise, pointwise, stripes_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.lowerings.parts.geometry import Stripe
    from swp_export.stripes import StripeConv


class ShiftChunks(Lowering):
    """See the module's docstring."""

    name = "shift-chunks"
    permutes = True

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write two Convs, then a Sum for each bucket."""
        part, stripes = Part.of_all(conv), stripes_of(conv)
        buckets = groups_of(conv, conv.skeleton.stripes_per_filter)
        chunks: list[list[Stripe | None]] = []
        bias: list[int] = []
        for count, filters in buckets.items():
            for index in range(max(1, count)):
                chunks.append([stripes[f][index] if stripes[f] else None for f in filters])
                bias += filters.tolist() if index == 0 else [-1] * filters.size
        live = [row for chunk in chunks for row in chunk]
        padding = round_up(len(live), builder.multiple) - len(live)
        rows = filled_rows(live, len(live) + padding)
        shifted = depthwise(builder, pointwise(builder, x, part, rows), part, rows, [*bias, *[-1] * padding])
        sizes = [len(chunk) for chunk in chunks] + ([padding] if padding else [])
        parts = builder.split(shifted, sizes, "chunks") if len(sizes) > 1 else [shifted]
        sums, start = [], 0
        for count in buckets:
            addends = parts[start : start + max(1, count)]
            sums.append(addends[0] if len(addends) == 1 else builder.op("Sum", addends, f"add_{count}"))
            start += len(addends)
        return in_order(builder, joined(builder, sums), np.concatenate(list(buckets.values())))

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters by number of stripes. Buckets need not fill blocks: all is moved anyway."""
        return filled_before(np.argsort(conv.skeleton.stripes_per_filter, kind="stable"), multiple)
