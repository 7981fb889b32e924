"""`sliced-ellpack(p)`: stripes stored as sliced ELLPACK stores the entries of a sparse matrix, with a rest.

Filters are cut into slices of neighbours. In a slice, column 1 is the first stripe of each filter, column 2 the second
stripe of each, and so on up to the slice's width; what is beyond the width is the rest, the COO part of a hybrid
format:

    column 1   Conv 1x1, Conv depthwise            the first stripe of each filter; and the bias    [N, n, H', W']
    column 2   Conv 1x1, Conv depthwise            the second stripes; the runtime accumulates onto column 1
    ...
    rest       Conv 1x1, Conv depthwise, Conv 1x1  all other stripes, summed by filter in groups; accumulates too
    Concat                                         the slices                               [N, N_filters, H', W']

A column needs no sum; a column of few taps is shifted by a small window, one of a single tap by none; groups of g
filters and r rows are summed in N*r multiply-adds, where `shift-sum` needs N*R. A slice with few dead stripes is one
dense Conv. `parts/slices.py` counts what each costs, `p` multiply-adds per position for a node: few on large maps and
batches, many on small ones. Nothing is permuted in any order of the filters, and `order` asks for the one that costs
least. Nothing leaves the blocked layout where filters fill blocks.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import layer, mask_of_counts
from swp_export.lowerings.parts.fill import filled_rows, round_up
from swp_export.lowerings.parts.filter_groups import joined
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import shifted, summed
from swp_export.lowerings.parts.slices import Layout, cheapest_order, cheapest_slices
from swp_export.lowerings.parts.window import emit_window

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.lowerings.parts.slices import Slice
    from swp_export.stripes import StripeConv

NODE_PRICES = (10, 40, 160, 640, 2560, 10240)
"""A node takes 0.4 microseconds, in which AVX-512 does 34,000 multiply-adds: 33 for each position of a 32x32 map, 530
of an 8x8 one, and as many times more as there are threads to share them (`parts/prices.py`)."""


@dataclasses.dataclass(frozen=True)
class SlicedEllpack(Lowering):
    """The slices that cost least at the `price` of a node, in multiply-adds per position."""

    price: int

    @property
    def name(self) -> str:
        """`sliced-ellpack(price)`."""
        return f"sliced-ellpack({self.price})"

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write every slice."""
        slices = cheapest_slices(Layout.of(conv), builder.multiple, self.price).slices
        return joined(builder, [emit_slice(builder, x, conv, slice_) for slice_ in slices])

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters in the order in which they cost least."""
        return np.array(cheapest_order(Layout.of(conv), multiple, self.price), np.int64)

    def examples(self) -> list[StripeConv]:
        """Return any layers, and wide ones of several slices and columns, and of a rest in groups."""
        slices = mask_of_counts([5] * 8 + [3] * 8 + [1] * 16 + [9] * 8 + [2] * 8)
        rest = mask_of_counts([5] * 8 + [3] * 8 + [1] * 16)
        return [*super().examples(), layer("slices", slices, channels=16), layer("a rest", rest, channels=64)]


def emit_slice(builder: LayerBuilder, x: ir.Value, conv: StripeConv, slice_: Slice) -> ir.Value:
    """Write the filters of `conv` that are in `slice_`, and return their output `[N, n, H', W']`."""
    part = Part(conv, tuple(range(slice_.start, slice_.stop)))
    if slice_.dense:
        return emit_window(builder, x, part)
    stripes = [[(f, i, j) for i, j in taps] for f, taps in enumerate(Layout.of(part.conv).taps)]
    y: ir.Value | None = None
    for column in range(slice_.width):
        rows = [of_filter[column] if column < len(of_filter) else None for of_filter in stripes]
        y = _added(builder, y, shifted(builder, x, part, rows, range(len(rows)) if y is None else None))
    if slice_.groups:
        left = [of_filter[slice_.width :] for of_filter in stripes]
        size = len(left) // slice_.groups
        groups = [[s for of_filter in left[at : at + size] for s in of_filter] for at in range(0, len(left), size)]
        in_group = round_up(max(map(len, groups)), builder.multiple)
        rows = [row for group in groups for row in filled_rows(group, in_group)]
        rest = shifted(builder, x, part, rows)
        y = _added(builder, y, summed(builder, rest, part, rows, groups=slice_.groups, biased=y is None))
    assert y is not None
    return y


def _added(builder: LayerBuilder, y: ir.Value | None, addend: ir.Value) -> ir.Value:
    return addend if y is None else builder.op("Add", [y, addend], "add")
