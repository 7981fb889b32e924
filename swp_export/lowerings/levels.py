"""`levels(p)`: neighbouring filters in runs, and in a run the first stripes of all its filters, the second ones, ...

    level 1   Conv 1x1, Conv depthwise            the first stripe of each filter; and the bias    [N, n, H', W']
    level 2   Conv 1x1, Conv depthwise            the second stripes; the runtime accumulates onto level 1
    ...
    rest      Conv 1x1, Conv depthwise, Conv 1x1  all other stripes, summed by filter in groups; accumulates too
    Concat                                        the runs                               [N, N_filters, H', W']

A level needs no sum; a level of few taps is shifted by a small window, one of a single tap by none; groups of g filters
and r rows are summed in N*r multiply-adds, where `shift-sum` needs N*R. A run with few dead stripes is one dense Conv.
`runs.py` counts what each costs, `p` multiply-adds per position for a node: few on large maps and batches, many on
small ones. Nothing is permuted in any order of the filters, and `order` asks for the one that costs least. Nothing
leaves the blocked layout where filters fill blocks.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings import shift_sum
from swp_export.lowerings.parts import window
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.groups import joined
from swp_export.lowerings.parts.runs import Layout, cheapest_order, cheapest_runs
from swp_export.lowerings.parts.shifts import filled, round_up, shifted, total

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.groups import Labels
    from swp_export.lowerings.parts.runs import Run
    from swp_export.stripes import StripeConv

PRICES = (10, 40, 160, 640, 2560)
"""A node takes about half a microsecond, in which AVX-512 does 27,000 multiply-adds: 26 for each position of a 32x32
map, 420 of an 8x8 one (`examples/node_costs.py`)."""

refuse = shift_sum.refuse


@dataclasses.dataclass(frozen=True)
class Levels:
    """Runs and levels at the `price` of a node, in multiply-adds per position."""

    price: int

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write `conv` of `x` `[N, C, H, W]` and return its output."""
        runs = cheapest_runs(Layout.of(conv), builder.block, self.price)
        return joined(builder, [emit_run(builder, x, conv, run) for run in runs.runs])

    def order(self, conv: StripeConv, block: int) -> Labels:
        """Return the filters in the order in which they cost least; -1 is a filter of zeros."""
        return np.array(cheapest_order(Layout.of(conv), block, self.price), np.int64)


def emit_run(builder: LayerBuilder, x: ir.Value, conv: StripeConv, run: Run) -> ir.Value:
    """Write the filters of `conv` that are in `run`, and return their output `[N, n, H', W']`."""
    part = Part(conv, tuple(range(run.start, run.stop)))
    if run.dense:
        return window.emit_part(builder, x, part)
    stripes = [[(f, i, j) for i, j in taps] for f, taps in enumerate(Layout.of(part.conv).taps)]
    y: ir.Value | None = None
    for level in range(run.levels):
        rows = [of_filter[level] if level < len(of_filter) else None for of_filter in stripes]
        y = _added(builder, y, shifted(builder, x, part, rows, range(len(rows)) if y is None else None))
    if run.groups:
        left = [of_filter[run.levels :] for of_filter in stripes]
        size = len(left) // run.groups
        groups = [[s for of_filter in left[at : at + size] for s in of_filter] for at in range(0, len(left), size)]
        in_group = round_up(max(map(len, groups)), builder.block)
        rows = [row for group in groups for row in filled(group, in_group)]
        rest = shifted(builder, x, part, rows)
        y = _added(builder, y, total(builder, rest, part, rows, groups=run.groups, biased=y is None))
    assert y is not None
    return y


def _added(builder: LayerBuilder, y: ir.Value | None, addend: ir.Value) -> ir.Value:
    return addend if y is None else builder.op("Add", [y, addend], "add")
