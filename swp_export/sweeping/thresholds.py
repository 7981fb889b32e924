"""Thresholds that are worth trying: in gaps between the values, where nothing hangs on a last digit.

The first lies in the widest gap, where training separates dead stripes from live ones. Number n of N kills about the
share (n / N)^2 of those that live there, since the first few decide; of the gaps about its place the widest is taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ThresholdError
from swp_export.network.widest_gap import FLOOR_DECADE, widest_gap

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[np.float32]

_FLOOR = 10.0**FLOOR_DECADE
_DIGITS = 10


def automatic_thresholds(values: Values, points: int) -> tuple[float, ...]:
    """Return at most `points` thresholds, ascending, each of which leaves other stripes of `values` (sorted) live.

    Raises:
        ThresholdError: no threshold would tell stripes apart.

    """
    if not values.size or values[0] == values[-1]:
        raise ThresholdError(
            f"all {values.size} values that a threshold applies to are the same: none would tell stripes apart"
        )
    gap = widest_gap(values)
    low = values[0] if gap is None else gap[0]
    first = int(np.searchsorted(values, np.float32(low), side="right"))
    live = values.size - first
    found = [between(values[first - 1], values[first])]
    for number in range(1, points):
        start, stop = (first + round(live * ((number + side) / points) ** 2) for side in (-0.5, 0.5))
        stop = min(values.size, max(stop, start + 1) + 1)
        cut = _widest(values[start:stop])
        if cut is not None:
            found.append(between(values[start + cut], values[start + cut + 1]))
    return tuple(sorted(set(found)))


def between(low: float, high: float) -> float:
    """Return the shortest number `low <= t < high`, in float32, near their geometric mean."""
    middle = math.sqrt(max(float(low), min(_FLOOR, float(high) / 4)) * float(high))
    for digits in range(1, _DIGITS):
        number = float(f"{middle:.{digits}g}")
        if np.float32(low) <= np.float32(number) < np.float32(high):
            return number
    return float(low)


def _widest(values: Values) -> int | None:
    """Return the place before the widest gap of `values`, sorted, on a logarithmic scale; None where all are equal."""
    if values.size < 2 or values[0] == values[-1]:
        return None
    return int(np.diff(np.log(np.maximum(values.astype(np.float64), _FLOOR))).argmax())
