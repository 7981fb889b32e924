"""`shift-sum(g)`: as `shift-sum`, but the sum is a 1x1 Conv in g groups of as many filters, r rows for each group.

    Conv 1x1        the live stripes, group by group, each filled up to r rows        [N, g*r, H, W]
    Conv depthwise  one-hot: each row to its tap                                      [N, g*r, H', W']
    Conv 1x1        0/1, in g groups: sums each filter's rows, adds its bias          [N, N_filters, H', W']

g*r*C + K_h*K_w*g*r + N*r multiply-adds per position, where `shift-sum` sums in N*R. In int8 it is the form of layers
whose weights do not fit the caches: accumulating columns, which float32 has for nothing, round at each Add there, and
this rounds rows once and the sum once. Filters are dealt out to the groups so that all have about as many stripes.
"""

from __future__ import annotations

import dataclasses
import heapq
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import layer, mask_of_counts
from swp_export.lowerings.parts.fill import filled_rows, filled_up, round_up
from swp_export.lowerings.parts.geometry import Part
from swp_export.lowerings.parts.shifts import shifted, stripes_of, summed

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv

GROUPS = (2, 4, 8)
LEAST = 8
"""Filters of a group: fewer fill no kernel."""


@dataclasses.dataclass(frozen=True)
class GroupedShiftSum(Lowering):
    """The sum in so many `groups`."""

    groups: int

    @property
    def name(self) -> str:
        """`shift-sum(groups)`."""
        return f"shift-sum({self.groups})"

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write three Convs; in one group where the filters are no multiple of the groups."""
        part, stripes = Part.of_all(conv), stripes_of(conv)
        groups = self.groups if conv.filters % self.groups == 0 else 1
        size = conv.filters // groups
        of_groups = [[s for of in stripes[at : at + size] for s in of] for at in range(0, conv.filters, size)]
        in_group = round_up(max(map(len, of_groups)), builder.multiple)
        rows = [row for group in of_groups for row in filled_rows(group, in_group)]
        return summed(builder, shifted(builder, x, part, rows), part, rows, groups=groups)

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters dealt out to the groups, most stripes first, each to the group with fewest.

        Of fewer than LEAST filters for each group the order is as it was: groups are not worth the filling.
        """
        if conv.filters < self.groups * LEAST:
            return super().order(conv, multiple)
        counts = conv.skeleton.stripes_per_filter
        size = round_up(-(-conv.filters // self.groups), multiple)
        groups: list[list[int]] = [[] for _ in range(self.groups)]
        emptiest = [(0, index) for index in range(self.groups)]
        for filter_ in np.argsort(-counts, kind="stable").tolist():
            load, index = heapq.heappop(emptiest)
            groups[index].append(filter_)
            if len(groups[index]) < size:
                heapq.heappush(emptiest, (load + int(counts[filter_]), index))
        dealt = [filled_up(np.array(sorted(group), np.int64), size) for group in groups]
        return np.concatenate(dealt)

    def examples(self) -> list[StripeConv]:
        """Return any layers, and one of filters that are dealt out unevenly."""
        uneven = layer("uneven", mask_of_counts([5] * 24 + [3] * 8 + [1] * 24 + [9] * 8), channels=16)
        return [*super().examples(), uneven]
