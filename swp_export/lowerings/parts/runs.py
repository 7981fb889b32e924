"""The cheapest way to write a layer in runs of neighbouring filters, counted, and the order of filters that helps most.

A run of n filters is written in one of these ways; costs are in multiply-adds of a 1x1 Conv, per output position:

    dense             one Conv over the window of its taps                 n*C*K'_h*K'_w
    l levels          level m: the m-th stripe of each filter, shifted     n*(C + shift), each level
      and a rest      what is left of its R stripes, shifted and summed    R*(C + shift) + n*r
                      by a 1x1 Conv in groups, r rows for each group

A shift costs more the larger its window is, and nothing where that is one tap. What comes second accumulates onto what
comes first. Beside that every 1x1 Conv writes its rows, a Concat of several runs moves all filters, and every node has
a price. The constants were measured with ONNX Runtime on AVX-512 (`examples/node_costs.py`); on another machine they
give another good form, and `tune` measures which is the best.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from functools import lru_cache
from itertools import accumulate
from operator import or_
from typing import TYPE_CHECKING

from swp_export.lowerings.parts.shifts import round_up, stripes_of, window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.lowerings.parts.shifts import Tap
    from swp_export.stripes import StripeConv

    Order = Sequence[int]

WRITE = 1.5
"""Of a row of a 1x1 Conv, beside its products."""
ACCUMULATE = 2.5
"""Of a row that is added to what is there already."""
CONCAT = 6.5
"""Of a filter that a Concat moves."""
LEAST = 8
"""Filters of a run: fewer fill no block of any runtime, and there would be too many ways to cut a layer."""
SPLITS = 6
"""At about so many places the filters with one stripe are cut into those of groups and those that come after."""


def shift_cost(kernel: tuple[int, int]) -> float:
    """Return what a depthwise Conv costs a row; a wide window costs more than a high one, for its padded columns."""
    height, width = kernel
    return 0.0 if kernel == (1, 1) else 4.5 + height * (1.6 * width - 0.6)


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
class Run:
    """Filters `start` to `stop`, and how they are written.

    Attributes:
        start, stop: its filters.
        levels: so many stripes of each filter are levels.
        groups: that sum the others; 0: there are none.
        cost: multiply-adds per position, nodes and all.

    """

    start: int
    stop: int
    levels: int
    groups: int
    cost: float

    @property
    def dense(self) -> bool:
        """Neither levels nor groups: one Conv over the window."""
        return not self.levels and not self.groups


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of a layer, in order, and what they cost together."""

    cost: float
    runs: tuple[Run, ...]


@lru_cache(maxsize=1 << 12)
def cheapest_runs(layout: Layout, block: int, price: float) -> Runs:
    """Return the runs of all filters that cost least together.

    Args:
        layout: of the layer, its filters in the order in which they are written.
        block: runs are multiples of it, and of at least 8; a layer whose filters are none is one run.
        price: of a node.

    """
    filters, unit = len(layout.taps), _unit(block)
    blocks = _Blocks(layout, unit if filters % unit == 0 else filters, block, price)
    best = [Runs(0.0, ())]
    for stop in range(1, blocks.count + 1):
        before = ((best[start], blocks.cheapest(start, stop)) for start in range(stop))
        best.append(min((Runs(runs.cost + run.cost, (*runs.runs, run)) for runs, run in before), key=lambda r: r.cost))
    run = blocks.cheapest(0, blocks.count)
    joined = Runs(best[-1].cost + CONCAT * filters + price, best[-1].runs)
    return min(joined, Runs(run.cost, (run,)), key=lambda r: r.cost)


@lru_cache(maxsize=1 << 12)
def cheapest_order(layout: Layout, block: int, price: float) -> tuple[int, ...]:
    """Return the filters in the order in which they cost least, filled up to blocks; -1 is a filter of zeros."""
    return min(_orders(layout, block), key=lambda order: cheapest_runs(layout.ordered(order), block, price).cost)


def _unit(block: int) -> int:
    """Return the smallest multiple of `block` that is no less than LEAST: what runs and groups are multiples of."""
    return round_up(LEAST, block)


class _Blocks:
    """The filters of a layer, block by block, and what a run of blocks costs. Taps are sets of bits."""

    def __init__(self, layout: Layout, size: int, block: int, price: float) -> None:
        self._layout, self._size, self._block, self._price = layout, size, block, price
        self._stride = layout.strides[0] * layout.strides[1]
        self._kernels: dict[int, tuple[int, int]] = {}
        self.count = len(layout.taps) // size
        width = layout.kernel[1]
        most = max(map(len, layout.taps))
        self._level: list[list[int]] = []
        self._left: list[list[int]] = []
        for start in range(0, len(layout.taps), size):
            taps = layout.taps[start : start + size]
            at = [{i * width + j for of in taps for i, j in of[level : level + 1]} for level in range(most)]
            self._level.append([sum(1 << tap for tap in level) for level in at])
            self._left.append([sum(max(0, len(of) - level) for of in taps) for level in range(most + 1)])

    def cheapest(self, start: int, stop: int) -> Run:
        """Return the cheapest way to write blocks `start` to `stop`."""
        width = (stop - start) * self._size
        levels = [0] * (len(self._left[0]) - 1)
        for block in range(start, stop):
            levels = list(map(or_, levels, self._level[block]))
        beyond = [*accumulate(reversed(levels), or_)][::-1]  # taps of a level and of all after it
        found = [(self._dense(width, beyond[0] if beyond else 0), 0, 0)]
        spent = 0.0
        of_row = self._layout.channels + WRITE
        for level in range(len(levels) + 1):
            left = [self._left[block][level] for block in range(start, stop)]
            if not any(left):
                found += [(spent, level, 0)] if level else []
                break
            if spent + sum(left) * of_row < min(found)[0]:  # else no groups are cheap enough
                found += [
                    (spent + self._rest(width, left, groups, beyond[level], first=level == 0), level, groups)
                    for groups in range(1, stop - start + 1)
                    if (stop - start) % groups == 0
                ]
            spent += self._shifted(width, levels[level]) + (ACCUMULATE * width if level else 0)
            if spent >= min(found)[0]:
                break
        cost, level, groups = min(found)
        return Run(start * self._size, stop * self._size, level, groups, cost)

    def _dense(self, filters: int, taps: int) -> float:
        height, width = self._kernel(taps)
        return filters * (self._layout.channels * height * width + WRITE) + self._price

    def _rest(self, filters: int, left: Sequence[int], groups: int, taps: int, *, first: bool) -> float:
        per_group = len(left) // groups
        fullest = max(sum(left[at : at + per_group]) for at in range(0, len(left), per_group))
        rows = round_up(fullest, self._block)
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
def _orders(layout: Layout, block: int) -> tuple[tuple[int, ...], ...]:
    """Return orders that are cheap for some layer.

    Levels want neighbours alike: filters with most stripes first, then by columns and rows. Groups want equally many
    rows: the filters are dealt out to them, and of those with one stripe, which need no sum, some blocks come after.
    """

    def likeness(filter_: int) -> tuple[int, list[int], list[int]]:
        taps = layout.taps[filter_]
        return -len(taps), [j for _, j in taps], [i for i, _ in taps]

    alike = sorted(range(len(layout.taps)), key=likeness)
    unit = _unit(block)
    filling = [-1] * (round_up(len(alike), block) - len(alike))
    single = [filter_ for filter_ in alike if len(layout.taps[filter_]) == 1]
    step = unit * max(1, round(len(single) / unit / SPLITS))
    dealt = (
        (*_dealt_out(layout, others, summed_from, unit), *single[:apart])
        for apart in range(0, len(single) + 1, step)
        if (others := sorted(set(alike) - set(single[:apart])))
        for summed_from in (0, 1)
    )
    return ((*range(len(alike)), *filling), (*alike, *filling), *dealt)


def _dealt_out(layout: Layout, filters: Sequence[int], summed_from: int, block: int) -> list[int]:
    """Return `filters` dealt out to groups, which sum the stripes from number `summed_from` on: at the best size."""
    stripes = {filter_: max(0, len(layout.taps[filter_]) - summed_from) for filter_ in filters}
    most_first = sorted(filters, key=lambda filter_: -stripes[filter_])
    row = layout.channels + WRITE + shift_cost(layout.kernel)
    best: tuple[float, list[int]] = (math.inf, [])
    for size in range(block, round_up(len(filters), block) + 1, block):
        groups: list[list[int]] = [[] for _ in range(-(-len(filters) // size))]
        emptiest = [(0, index) for index in range(len(groups))]
        fullest = 0
        for filter_ in most_first:
            load, index = heapq.heappop(emptiest)
            groups[index].append(filter_)
            fullest = max(fullest, load + stripes[filter_])
            if len(groups[index]) < size:
                heapq.heappush(emptiest, (load + stripes[filter_], index))
        rows = round_up(fullest, block)
        cost = len(groups) * (rows * row + size * (rows + summed_from * row))
        if cost < best[0]:
            best = cost, [f for group in groups for f in [*sorted(group), *[-1] * (size - len(group))]]
    return best[1]
