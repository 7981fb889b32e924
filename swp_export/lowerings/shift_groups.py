"""`shift-groups`: as `shift-sum`, but each block of filters sums its own rows, by one grouped Conv.

    Conv 1x1        the stripes of each group of g filters, zeros up to r rows    [N, G*r, H, W]
    Conv depthwise  one-hot: each row to its tap                                  [N, G*r, H', W']
    Conv 1x1, G groups   0/1, block-diagonal: g filters from r rows               [N, G*g, H', W']

`shift-sum` multiplies every filter with every row, N*R per position, as much as the stripes themselves; here it is N*r.
All groups have the same r, that of the fullest, so where the order of the filters is free, `order` deals them out
evenly, fullest first to the emptiest group. g and r are multiples of the block, else the runtime leaves its layout. One
group is `shift-sum`, one stripe for each filter `shift`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings import shift, shift_sum
from swp_export.lowerings.geometry import Part
from swp_export.lowerings.shifts import DEPTHWISE, depthwise, filled, pointwise, round_up, stripes_of, total, window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import onnx_ir as ir

    from swp_export.lowerings.builder import LayerBuilder
    from swp_export.lowerings.geometry import Stripe
    from swp_export.stripes import StripeConv

    Counts = npt.NDArray[np.int64]

refuse = shift_sum.refuse


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    return emit_part(builder, x, Part.of_all(conv))


def emit_part(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` and return its output."""
    conv = part.conv
    counts = conv.skeleton.stripes_per_filter
    if counts.max(initial=0) <= 1:
        return shift.emit_part(builder, x, part)
    if window_of(conv).kernel == (1, 1):
        return shift_sum.emit_part(builder, x, part)
    return summed_in_groups(builder, x, part, stripes_of(conv))


def summed_in_groups(
    builder: LayerBuilder, x: ir.Value, part: Part, stripes: Sequence[Sequence[Stripe]], *, biased: bool = True
) -> ir.Value:
    """Write `stripes`, of each filter of `part`, shifted and summed by filter: in the groups that cost least."""
    filters, block = part.conv.filters, builder.block
    counts = np.array([len(of_filter) for of_filter in stripes])
    size = min(
        (filters, *(g for g in range(block, filters, block) if filters % g == 0)),
        key=lambda g: _cost(part.conv.channels, counts, g, block),
    )
    in_group = _rows_in_group(counts, size, block)
    rows = [
        row
        for start in range(0, filters, size)
        for row in filled([s for of_filter in stripes[start : start + size] for s in of_filter], in_group)
    ]
    shifted = depthwise(builder, pointwise(builder, x, part, rows), part, rows)
    return total(builder, shifted, part, rows, groups=filters // size, biased=biased)


def order(conv: StripeConv, block: int) -> Counts:
    """Return the filters of `conv`, -1 for one of zeros, so that equal groups have about equally many stripes."""
    return balanced(conv.channels, conv.skeleton.stripes_per_filter, block)


def balanced(channels: int, counts: Counts, block: int, per_filter: int = 0) -> Counts:
    """Return the filters, -1 for one of zeros, dealt out to groups of the size that costs least.

    Args:
        channels: of the layer's input.
        counts: stripes of each filter that are summed.
        block: sizes and rows are multiples of it.
        per_filter: multiply-adds per position for each filter beside the sum.

    """
    packed = [_packed(counts, size) for size in range(block, round_up(counts.size, block) + 1, block)]
    return min(
        packed,
        key=lambda p: _cost(channels, np.where(p[1] >= 0, counts[p[1]], 0), p[0], block) + p[1].size * per_filter,
    )[1]


def _packed(counts: Counts, size: int) -> tuple[int, Counts]:
    """Return `size` and the filters dealt out to groups of `size`: the fullest first, to the emptiest with room."""
    groups: list[list[int]] = [[] for _ in range(-(-counts.size // size))]
    loads = np.zeros(len(groups))
    for filter_ in np.argsort(-counts, kind="stable"):
        emptiest = int(np.argmin(loads))
        groups[emptiest].append(int(filter_))
        loads[emptiest] = np.inf if len(groups[emptiest]) == size else loads[emptiest] + counts[filter_]
    return size, np.array([f for group in groups for f in [*sorted(group), *[-1] * (size - len(group))]], np.int64)


def _rows_in_group(counts: Counts, size: int, block: int) -> int:
    return round_up(int(counts.reshape(-1, size).sum(axis=1).max()), block)


def _cost(channels: int, counts: Counts, size: int, block: int) -> int:
    """Return the multiply-adds per position with groups of `size`."""
    rows = _rows_in_group(counts, size, block)
    return rows * (counts.size // size) * (channels + DEPTHWISE) + counts.size * rows
