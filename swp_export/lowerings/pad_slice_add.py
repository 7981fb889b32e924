"""`pad-slice-add`: 1x1 convolutions to all live stripes, then Slice each tap's shift, then add each filter's stripes.

    Pad          x to the window of the live taps; at stride 1 by the Conv's pads   [N, C, H', W']
    Conv 1x1     all live stripes; a filter's bias rides on its first stripe        [N, S, H', W']
    Slice        per tap: its rows, shifted                                         [N, S_tap, H_out, W_out]
    Concat       all taps                                                           [N, S, H_out, W_out]
    Gather       filters with 1 stripe, with 2, ...; in each group the first stripes, then the second, ...
    Split, Sum   per group with m > 1 stripes: m equal chunks, added
    Concat       all groups                                                         [N, N_filters, H_out, W_out]
    Gather       back to the filters' own order, unless that is theirs: `order`

Exact in real arithmetic, for any batch and any spatial size: every Slice counts from the near end by a constant and
from the far end by a negative one. With stride s, taps at offsets equal modulo s share a strided plane of the padded
input, sliced before its 1x1 Conv, so that only kept positions are computed. Expanding each tap to all N channels before
adding would move K*K*N maps instead of about 5*S + 3*N.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.fill import filled_before
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.stripe_rows import StripeRows, stripe_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv

OPEN_END = int(np.iinfo(np.int64).max)


class PadSliceAdd(Lowering):
    """See the module's docstring."""

    name = "pad-slice-add"
    permutes = True

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write a 1x1 Conv for each strided plane, then Slices and Sums."""
        layout = stripe_rows(conv)
        window, pads = _windowed(builder, x, conv, layout)
        planes = range(len(layout.planes))
        shifted = [tap for plane in planes for tap in _plane(builder, window, conv, layout, plane, pads)]
        stripes = shifted[0] if len(shifted) == 1 else builder.op("Concat", shifted, "stripes", {"axis": 1})
        return _summed(builder, stripes, [row[2] for row in layout.rows])

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters by number of stripes, then by first tap."""
        first, counts = stripe_rows(conv).bias_rows(), np.maximum(conv.skeleton.stripes_per_filter, 1)
        ascending = sorted(range(conv.filters), key=lambda filter_: (counts[filter_], first[filter_]))
        return filled_before(np.array(ascending), multiple)


def _windowed(
    builder: LayerBuilder, x: ir.Value, conv: StripeConv, layout: StripeRows
) -> tuple[ir.Value, list[int] | None]:
    """Pad and crop `x` to what the live taps read; return it, and the pads that are left for the 1x1 Conv to do.

    Padding comes first, since a crop may be larger than a small input. A Pad right before a Conv is not written: every
    optimiser (ONNX Runtime's, onnx-simplifier) makes it the pads of the Conv.
    """
    vertical, horizontal = layout.axes
    pads = [max(0, amount) for amount in (vertical.begin, horizontal.begin, vertical.end, horizontal.end)]
    crops = [max(0, -amount) for amount in (vertical.begin, horizontal.begin, vertical.end, horizontal.end)]
    if not any(crops) and conv.strides == (1, 1):
        return x, pads if any(pads) else None
    if any(pads):
        amounts = builder.indices([0, 0, *pads[:2], 0, 0, *pads[2:]], "pads")
        x = builder.op("Pad", [x, amounts], "pad")
    if any(crops):
        ends = [-crop if crop else OPEN_END for crop in crops[2:]]
        x = _slice(builder, x, crops[:2], ends, [2, 3], "crop")
    return x, None


def _plane(
    builder: LayerBuilder, window: ir.Value, conv: StripeConv, layout: StripeRows, index: int, pads: list[int] | None
) -> list[ir.Value]:
    """Write the 1x1 Conv of one plane and return the shifted maps of each of its taps."""
    plane, strides = layout.planes[index], conv.strides
    if strides != (1, 1):
        ends = [
            last - axis.span if last < axis.span else OPEN_END
            for last, axis in zip(plane.last, layout.axes, strict=True)
        ]
        window = _slice(builder, window, list(plane.first), ends, [2, 3], "plane", list(strides))
    rows = _convolved(builder, window, conv, layout, index, pads)
    taps: dict[tuple[int, int], int] = defaultdict(int)
    for i, j, _ in plane.rows:
        taps[i, j] += 1
    if len(taps) == 1:
        return [rows]
    steps = [(last - first) // stride for first, last, stride in zip(plane.first, plane.last, strides, strict=True)]
    shifted, start = [], 0
    for tap, count in taps.items():
        shift = [
            (offset - first) // stride
            for offset, first, stride in zip(layout.offsets[tap], plane.first, strides, strict=True)
        ]
        ends = [s - step if s < step else OPEN_END for s, step in zip(shift, steps, strict=True)]
        what = f"tap_{tap[0]}_{tap[1]}"
        shifted.append(_slice(builder, rows, [start, *shift], [start + count, *ends], [1, 2, 3], what))
        start += count
    return shifted


def _convolved(
    builder: LayerBuilder, x: ir.Value, conv: StripeConv, layout: StripeRows, index: int, pads: list[int] | None
) -> ir.Value:
    start = sum(len(plane.rows) for plane in layout.planes[:index])
    rows = layout.planes[index].rows
    weight = np.stack([conv.weight[filter_, :, i, j] for i, j, filter_ in rows])[:, :, None, None]
    first = layout.bias_rows()
    biased = [filter_ if first[filter_] == start + row else -1 for row, (_, _, filter_) in enumerate(rows)]
    bias = np.where(np.array(biased) >= 0, conv.bias[biased], 0)
    return builder.conv(
        x,
        weight,
        "conv",
        bias=bias,
        attributes={"pads": pads} if pads else None,
        geometry=Part.of_all(conv).geometry(stripes=[(f, i, j) for i, j, f in rows], bias=biased),
    )


def _summed(builder: LayerBuilder, stripes: ir.Value, filters: Sequence[int]) -> ir.Value:
    """Add the maps of each filter's stripes; `filters` names the filter of each channel of `stripes`."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, filter_ in enumerate(filters):
        rows_of[filter_].append(row)
    groups: dict[int, list[int]] = defaultdict(list)
    for filter_ in sorted(rows_of, key=lambda filter_: rows_of[filter_]):
        groups[len(rows_of[filter_])].append(filter_)
    counts = sorted(groups)
    chunks = [[rows_of[filter_][m] for filter_ in groups[count]] for count in counts for m in range(count)]
    stripes = _reordered(builder, stripes, [row for chunk in chunks for row in chunk], "by_count")
    parts = builder.split(stripes, [len(chunk) for chunk in chunks], "chunks") if len(chunks) > 1 else [stripes]
    sums, start = [], 0
    for count in counts:
        group = parts[start : start + count]
        sums.append(builder.op("Sum", group, f"add_{count}") if count > 1 else group[0])
        start += count
    total = builder.op("Concat", sums, "filters", {"axis": 1}) if len(sums) > 1 else sums[0]
    place = {filter_: position for position, filter_ in enumerate(f for count in counts for f in groups[count])}
    return _reordered(builder, total, [place[filter_] for filter_ in range(len(place))], "in_order")


def _reordered(builder: LayerBuilder, value: ir.Value, order: list[int], what: str) -> ir.Value:
    if order == list(range(len(order))):
        return value
    return builder.op("Gather", [value, builder.indices(order, f"{what}_order")], what, {"axis": 1})


def _slice(
    builder: LayerBuilder,
    value: ir.Value,
    starts: list[int],
    ends: list[int],
    axes: list[int],
    what: str,
    steps: list[int] | None = None,
) -> ir.Value:
    bounds = [
        builder.indices(starts, f"{what}_starts"),
        builder.indices(ends, f"{what}_ends"),
        builder.indices(axes, f"{what}_axes"),
    ]
    if steps is not None:
        bounds.append(builder.indices(steps, f"{what}_steps"))
    return builder.op("Slice", [value, *bounds], what)
