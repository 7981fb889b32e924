"""The cheapest way to cut a layer's filters into slices, counted, and the order of filters that helps most.

A slice of n filters is written in one of these ways; costs are in multiply-adds of a 1x1 Conv, per output position:

    dense             one Conv over the window of its taps                 n*C*K'_h*K'_w
    w columns         column m: the m-th stripe of each filter, shifted    n*(C + shift), each column
      and a rest      what is left of its R stripes, shifted and summed    R*(C + shift) + n*r
                      by a 1x1 Conv in groups, r rows for each group

A shift costs more the larger its window is, and nothing where that is one tap. What comes second accumulates onto what
comes first. Beside that every 1x1 Conv writes its rows, a Concat of several slices moves all filters, and every node
has a price. `parts/prices.py` has the constants, measured with ONNX Runtime on AVX-512; on another machine they give
another good form, and `tune` measures which is the best.

A slice consists of whole tiles: as many filters as fill a block of the runtime's layout, and no fewer than 8.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from functools import lru_cache
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING

from swp_export.lowerings.parts.fill import round_up
from swp_export.lowerings.parts.prices import ACCUMULATE, CONCAT, WRITE, shift_cost
from swp_export.lowerings.parts.shifts import stripes_of
from swp_export.lowerings.parts.window import window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.lowerings.parts.window import Tap
    from swp_export.stripes import StripeConv

    Order = Sequence[int]

LEAST = 8
"""Filters of a tile: fewer fill no block of any runtime, and there would be too many ways to cut a layer."""
SPLITS = 6
"""At about so many places the filters with one stripe are cut into those of groups and those that come after."""


def _by_column(tap: Tap) -> Tap:
    return tap[::-1]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a layer's cost depends on: everything but its weights.

    Attributes:
        channels: of its input.
        kernel, strides, pads, dilations: as those of a StripeConv.
        taps: the live `(i, j)` of each filter, by column, then by row.

    """

    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    taps: tuple[tuple[Tap, ...], ...]

    @classmethod
    def of(cls, conv: StripeConv) -> Layout:
        """Return the layout of `conv`."""
        taps = tuple(tuple(sorted((s[1:] for s in of_filter), key=_by_column)) for of_filter in stripes_of(conv))
        return cls(conv.channels, conv.kernel, conv.strides, conv.pads, conv.dilations, taps)

    def ordered(self, order: Order) -> Layout:
        """Return the layout with its filters in `order`; -1 is a filter without stripes."""
        return dataclasses.replace(self, taps=tuple(self.taps[f] if f >= 0 else () for f in order))


@dataclasses.dataclass(frozen=True)
class Slice:
    """Filters `start` to `stop`, and how they are written.

    Attributes:
        start, stop: its filters.
        width: so many stripes of each filter are columns.
        groups: that sum the rest; 0: there is none.
        cost: multiply-adds per position, nodes and all.

    """

    start: int
    stop: int
    width: int
    groups: int
    cost: float

    @property
    def dense(self) -> bool:
        """Neither columns nor a rest: one Conv over the window."""
        return not self.width and not self.groups


@dataclasses.dataclass(frozen=True)
class Slices:
    """The slices of a layer, in order, and what they cost together."""

    cost: float
    slices: tuple[Slice, ...]


@lru_cache(maxsize=1 << 12)
def cheapest_slices(layout: Layout, multiple: int, price: float) -> Slices:
    """Return the slices of all filters that cost least together.

    Args:
        layout: of the layer, its filters in the order in which they are written.
        multiple: a layer is cut at multiples of it, and of at least 8; one whose filters are none is one slice.
        price: of a node.

    """
    filters, tile = len(layout.taps), _tile(multiple)
    tiles = _Tiles(layout, tile if filters % tile == 0 else filters, multiple, price)
    best = [Slices(0.0, ())]
    for stop in range(1, tiles.count + 1):
        before = ((best[start], tiles.cheapest(start, stop)) for start in range(stop))
        found = (Slices(slices.cost + last.cost, (*slices.slices, last)) for slices, last in before)
        best.append(min(found, key=lambda slices: slices.cost))
    whole = tiles.cheapest(0, tiles.count)
    joined = Slices(best[-1].cost + CONCAT * filters + price, best[-1].slices)
    return min(joined, Slices(whole.cost, (whole,)), key=lambda slices: slices.cost)


@lru_cache(maxsize=1 << 12)
def cheapest_order(layout: Layout, multiple: int, price: float) -> tuple[int, ...]:
    """Return the filters in the order in which they cost least, filled up; -1 is a filter of zeros."""
    return min(
        _orders(layout, multiple), key=lambda order: cheapest_slices(layout.ordered(order), multiple, price).cost
    )


def _tile(multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is no less than LEAST: what slices and groups consist of."""
    return round_up(LEAST, multiple)


class _Tiles:
    """The filters of a layer, tile by tile, and what a slice of tiles costs. Taps are sets of bits."""

    def __init__(self, layout: Layout, size: int, multiple: int, price: float) -> None:
        self._layout, self._size, self._multiple, self._price = layout, size, multiple, price
        self._stride = layout.strides[0] * layout.strides[1]
        self._kernels: dict[int, tuple[int, int]] = {}
        self.count = len(layout.taps) // size
        kernel_width = layout.kernel[1]
        most = max(map(len, layout.taps))
        self._columns: list[list[int]] = []
        self._left: list[list[int]] = []
        for start in range(0, len(layout.taps), size):
            taps = layout.taps[start : start + size]
            at = [{i * kernel_width + j for of in taps for i, j in of[column : column + 1]} for column in range(most)]
            self._columns.append([sum(1 << tap for tap in column) for column in at])
            self._left.append([sum(max(0, len(of) - width) for of in taps) for width in range(most + 1)])

    def cheapest(self, start: int, stop: int) -> Slice:
        """Return the cheapest way to write tiles `start` to `stop`."""
        filters = (stop - start) * self._size
        columns = [0] * (len(self._left[0]) - 1)
        for tile in range(start, stop):
            columns = list(map(or_, columns, self._columns[tile]))
        beyond = [*accumulate(reversed(columns), or_)][::-1]  # taps of a column and of all after it
        found = [(self._dense(filters, beyond[0] if beyond else 0), 0, 0)]
        spent = 0.0
        of_row = self._layout.channels + WRITE
        for width in range(len(columns) + 1):
            left = [self._left[tile][width] for tile in range(start, stop)]
            if not any(left):
                found += [(spent, width, 0)] if width else []
                break
            if spent + sum(left) * of_row < min(found)[0]:  # else no groups are cheap enough
                found += [
                    (spent + self._rest(filters, left, groups, beyond[width], first=width == 0), width, groups)
                    for groups in range(1, stop - start + 1)
                    if (stop - start) % groups == 0
                ]
            spent += self._shifted(filters, columns[width]) + (ACCUMULATE * filters if width else 0)
            if spent >= min(found)[0]:
                break
        cost, width, groups = min(found)
        return Slice(start * self._size, stop * self._size, width, groups, cost)

    def _dense(self, filters: int, taps: int) -> float:
        height, width = self._kernel(taps)
        return filters * (self._layout.channels * height * width + WRITE) + self._price

    def _rest(self, filters: int, left: Sequence[int], groups: int, taps: int, *, first: bool) -> float:
        per_group = len(left) // groups
        fullest = max(sum(left[at : at + per_group]) for at in range(0, len(left), per_group))
        rows = round_up(fullest, self._multiple)
        summed = filters * (rows + WRITE + (0 if first else ACCUMULATE)) + self._price
        return self._shifted(rows * groups, taps) + summed

    def _shifted(self, rows: int, taps: int) -> float:
        kernel = self._kernel(taps)
        product = rows * (self._layout.channels + WRITE)
        if kernel == (1, 1):
            return product + self._price
        # What is shifted is computed at every position, also at those that a stride skips.
        return product * self._stride + rows * shift_cost(kernel) + 2 * self._price

    def _kernel(self, taps: int) -> tuple[int, int]:
        if taps not in self._kernels:
            width = self._layout.kernel[1]
            live = [divmod(tap, width) for tap in range(taps.bit_length()) if taps >> tap & 1]
            self._kernels[taps] = window_of(self._layout, live).kernel
        return self._kernels[taps]


@lru_cache(maxsize=1 << 8)
def _orders(layout: Layout, multiple: int) -> tuple[tuple[int, ...], ...]:
    """Return orders that are cheap for some layer.

    Columns want neighbours alike: filters with most stripes first, then by their taps. Groups want equally many rows:
    the filters are dealt out to them, and of those with one stripe, which need no sum, some tiles come after.
    """

    def likeness(filter_: int) -> tuple[int, list[int], list[int]]:
        taps = layout.taps[filter_]
        return -len(taps), [j for _, j in taps], [i for i, _ in taps]

    alike = sorted(range(len(layout.taps)), key=likeness)
    tile = _tile(multiple)
    filling = [-1] * (round_up(len(alike), multiple) - len(alike))
    single = [filter_ for filter_ in alike if len(layout.taps[filter_]) == 1]
    step = tile * max(1, round(len(single) / tile / SPLITS))
    dealt = (
        (*_dealt_out(layout, others, summed_from, tile), *single[:apart])
        for apart in range(0, len(single) + 1, step)
        if (others := sorted(set(alike) - set(single[:apart])))
        for summed_from in (0, 1)
    )
    return ((*range(len(alike)), *filling), (*alike, *filling), *dealt)


def _dealt_out(layout: Layout, filters: Sequence[int], summed_from: int, tile: int) -> list[int]:
    """Return `filters` dealt out to groups, which sum the stripes from number `summed_from` on: at the best size."""
    stripes = {filter_: max(0, len(layout.taps[filter_]) - summed_from) for filter_ in filters}
    most_first = sorted(filters, key=lambda filter_: -stripes[filter_])
    row = layout.channels + WRITE + shift_cost(layout.kernel)
    best: tuple[float, list[int]] = (math.inf, [])
    for size in range(tile, round_up(len(filters), tile) + 1, tile):
        groups: list[list[int]] = [[] for _ in range(-(-len(filters) // size))]
        emptiest = [(0, index) for index in range(len(groups))]
        fullest = 0
        for filter_ in most_first:
            load, index = heapq.heappop(emptiest)
            groups[index].append(filter_)
            fullest = max(fullest, load + stripes[filter_])
            if len(groups[index]) < size:
                heapq.heappush(emptiest, (load + stripes[filter_], index))
        rows = round_up(fullest, tile)
        cost = len(groups) * (rows * row + size * (rows + summed_from * row))
        if cost < best[0]:
            best = cost, [f for group in groups for f in [*sorted(group), *[-1] * (size - len(group))]]
    return best[1]
