"""Which groups of a grouped convolution are written by one convolution, so that a file is least.

ONNX wants groups of one size. Groups of `c[g]` live columns and `r[g]` live rows that share a convolution are filled up
to the largest among them, with zeros:

    floats of a class  =  n * max(c) * max(r) * taps  +  sum over g of (max(r) - r[g]) * what a row costs elsewhere
    cost of the whole  =  the floats of all classes  +  classes * COST_OF_A_CLASS

The classes are runs of the groups sorted by (c, r), or by (r, c). The best of them are found by dynamic programming:
the best `k` classes of the first `j` sizes are the best `k - 1` classes of the first `i` and one class of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_CLASSES = 12
"""Each is one more convolution to start; so many bring a network as near to the least floats as is worth anything."""
COST_OF_A_CLASS = 256
"""In floats: the nodes of one more class, their names, attributes and indices, fill about a kilobyte of the file."""


def group_classes(sizes: np.ndarray, taps: int, row_cost: float) -> tuple[float, list[np.ndarray]]:
    """Return the least cost, and the groups of each class.

    Args:
        sizes: int `[G, 2]`, at least 1: how many columns and rows each group has.
        taps: of the kernel.
        row_cost: floats that a row of zeros costs beside those of the convolution.

    """
    sizes, member = np.unique(sizes, axis=0, return_inverse=True)
    counts = np.bincount(member.reshape(-1))
    best: tuple[float, list[np.ndarray]] = (np.inf, [])
    for order in (np.lexsort((sizes[:, 1], sizes[:, 0])), np.lexsort((sizes[:, 0], sizes[:, 1]))):
        cost, runs = _best_runs(sizes[order], counts[order], taps, row_cost)
        if cost < best[0]:
            best = cost, [np.flatnonzero(np.isin(member.reshape(-1), order[run])) for run in runs]
    return best


def _best_runs(sizes: np.ndarray, counts: np.ndarray, taps: int, row_cost: float) -> tuple[float, Sequence[slice]]:
    """Return the least cost, and which sizes make each class: `sizes` int `[S, 2]` sorted, `counts` groups of each."""
    of_run = np.array([_costs_to(last, sizes, counts, taps, row_cost) for last in range(len(sizes))])
    cost = np.full(len(sizes) + 1, np.inf)
    cost[0] = 0
    least, ends, cuts = np.inf, 0, list[np.ndarray]()
    for number in range(1, MOST_CLASSES + 1):
        totals = cost[None, :-1] + of_run  # [last, first]
        cuts.append(totals.argmin(axis=1))
        cost = np.concatenate([[np.inf], totals.min(axis=1)])
        if cost[-1] < least:
            least, ends = float(cost[-1]), number
    runs, end = list[slice](), len(sizes)
    for cut in reversed(cuts[:ends]):
        first = int(cut[end - 1])
        runs.insert(0, slice(first, end))
        end = first
    return least, runs


def _costs_to(last: int, sizes: np.ndarray, counts: np.ndarray, taps: int, row_cost: float) -> np.ndarray:
    """Return what the class of the sizes from each `first` to `last` costs, float64 `[S]`, infinite behind `last`."""
    columns, rows = (np.maximum.accumulate(sizes[last::-1, axis])[::-1] for axis in (0, 1))
    groups = np.cumsum(counts[last::-1])[::-1]
    live_rows = np.cumsum((counts * sizes[:, 1])[last::-1])[::-1]
    costs = np.full(len(sizes), np.inf)
    filled = groups * rows - live_rows
    costs[: last + 1] = groups * columns * rows * taps + filled * row_cost + COST_OF_A_CLASS
    return costs
