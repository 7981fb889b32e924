"""The classes of groups are those that a file is least by."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swp_export.graph.analysis import group_classes as module
from swp_export.graph.analysis.group_classes import COST_OF_A_CLASS, MOST_CLASSES, group_classes

SIZES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6)


def cost_of(sizes: np.ndarray, classes: list[np.ndarray], taps: int, row_cost: float) -> float:
    """Return what `classes` of groups cost, summed up group by group."""
    total = 0.0
    for groups in classes:
        columns, rows = sizes[groups].max(axis=0)
        total += COST_OF_A_CLASS + sum(columns * rows * taps + (rows - sizes[g, 1]) * row_cost for g in groups)
    return total


def all_runs(order: np.ndarray) -> list[list[np.ndarray]]:
    """Return every way to cut `order` into runs."""
    return [
        np.split(order, cuts)
        for count in range(order.size)
        for cuts in itertools.combinations(range(1, order.size), count)
    ]


@given(SIZES, st.sampled_from([1, 9]), st.sampled_from([1.0, 50.0]))
def test_no_runs_of_sorted_groups_cost_less(sizes: list[tuple[int, int]], taps: int, row_cost: float) -> None:
    """The cost is that of the classes, each group is in one, and no runs of the sorted groups cost less."""
    array = np.array(sizes)
    cost, classes = group_classes(array, taps, row_cost)
    assert sorted(np.concatenate(classes).tolist()) == list(range(len(sizes)))
    assert cost == cost_of(array, classes, taps, row_cost)
    orders = np.lexsort((array[:, 1], array[:, 0])), np.lexsort((array[:, 0], array[:, 1]))
    assert cost <= min(cost_of(array, runs, taps, row_cost) for order in orders for runs in all_runs(order))


def test_groups_of_one_size_are_one_class() -> None:
    """However many groups of one size there are, one convolution holds them."""
    cost, classes = group_classes(np.full((64, 2), 4), 9, 100)
    assert [groups.size for groups in classes] == [64]
    assert cost == 64 * 16 * 9 + module.COST_OF_A_CLASS


def test_there_are_never_more_than_so_many() -> None:
    """Of groups that all differ much, so many classes are made as are allowed."""
    sizes = np.stack([np.arange(100, 2100, 100)] * 2, axis=1)
    _, classes = group_classes(sizes, 9, 0)
    assert len(classes) == MOST_CLASSES
