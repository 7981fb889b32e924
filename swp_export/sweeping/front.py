"""The Pareto front of a sweep, and its knee: where the next step costs more than the last one gained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Return the numbers of the points that no other beats, cheapest first.

    A point is beaten by one that costs no more and is worth no less, and differs in one of the two; of equal ones the
    first is taken.
    """
    front: list[int] = []
    for number in sorted(range(len(costs)), key=lambda n: (costs[n], -values[n], n)):
        if not front or values[number] > values[front[-1]]:
            front.append(number)
    return front


def knee(costs: Sequence[float], values: Sequence[float]) -> int | None:
    """Return the number of the point of the Pareto front that lies furthest above the line between the front's ends.

    Costs are taken by their logarithm, since halving them is what counts; both axes are scaled to the front's range.
    None where the front has fewer than three points that cost anything, or none lies above.
    """
    front = [number for number in pareto_front(costs, values) if costs[number] > 0]
    if len(front) < 3:
        return None
    x, y = (np.array([axis[number] for number in front], np.float64) for axis in (costs, values))
    x = np.log(x)
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    above = y - x
    best = int(above.argmax())
    return front[best] if above[best] > 0 else None
