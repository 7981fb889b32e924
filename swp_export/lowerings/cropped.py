"""`cropped`: filters by the smallest legal window of their taps, one smaller Conv for each group, then Concat.

    filters within the window (1x3, 2x2, ...):  Conv K'_h x K'_w      [N, N_group, H', W']
    Concat                                                             [N, N_filters, H', W']

Up to GROUPS groups: the two whose union costs least are merged until that many are left. A group of n filters executes
n*K'_h*K'_w*C multiply-adds per position. Pays where whole filters share a shape; with one group it is a dense Conv over
the taps that the layer has left.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import layer
from swp_export.lowerings.parts.fill import round_up
from swp_export.lowerings.parts.filter_groups import emit_groups, order_groups
from swp_export.lowerings.parts.window import emit_window

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.fill import Filters
    from swp_export.stripes import StripeConv

    Box = tuple[int, int, int, int]
    """Taps `(first row, first column, last row + 1, last column + 1)`."""

GROUPS = 4
"""Every group reads the whole input again, and is a node."""


class Cropped(Lowering):
    """See the module's docstring."""

    name = "cropped"
    permutes = True

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write a Conv for each group."""
        return emit_groups(builder, x, conv, _labels(conv), [emit_window] * GROUPS)

    def order(self, conv: StripeConv, multiple: int) -> Filters:
        """Return the filters by group."""
        return order_groups(_labels(conv), multiple)

    def examples(self) -> list[StripeConv]:
        """Return any layers, and one of three windows by turns."""
        mask = np.zeros((12, 3, 3), bool)
        mask[::3, 0], mask[1::3, :, 0], mask[2::3] = True, True, True
        return [*super().examples(), layer("rows, columns and squares", mask)]


def _labels(conv: StripeConv) -> Filters:
    """Return the group of each filter, int64 `[N]`; filters without stripes have no part in how groups are formed."""
    mask = conv.skeleton.mask
    boxes: dict[int, Box] = {int(f): _box(mask[f]) for f in np.flatnonzero(mask.any(axis=(1, 2)))}
    groups: dict[Box, list[int]] = {}
    for filter_, box in sorted(boxes.items(), key=lambda item: item[1]):
        groups.setdefault(box, []).append(filter_)
    while len(groups) > GROUPS:
        first, second = min(itertools.combinations(sorted(groups), 2), key=lambda pair: (_growth(groups, *pair), pair))
        merged = groups.pop(first) + groups.pop(second)
        groups.setdefault(_union(first, second), []).extend(merged)
    labels = np.zeros(conv.filters, np.int64)
    for label, box in enumerate(sorted(groups)):
        labels[groups[box]] = label
    return labels


def _box(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _growth(groups: dict[Box, list[int]], a: Box, b: Box) -> int:
    """Return how many products per input channel the union of two groups adds; filters count in blocks of 8."""
    union = _union(a, b)
    before = sum(_area(box) * round_up(len(groups[box]), 8) for box in {a, b})
    return _area(union) * round_up(len(groups[a]) + len(groups[b]), 8) - before


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
