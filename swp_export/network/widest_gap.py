"""The widest gap between the values of Filter Skeletons: training leaves one where it drives stripes to zero.

Values below FLOOR are all the same to a float32 network, so they count as one point: between 1e-44 and 1e-20 lie 24
decades, but nothing to choose between.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

FLOOR_DECADE = -8
"""Values below 10 to this power are taken as one point."""
_GAP_DECADES = 0.5


def widest_gap(values: npt.NDArray[np.float32]) -> tuple[float, float] | None:
    """Return the neighbours among `values`, sorted and not negative, that are furthest apart on a logarithmic scale.

    None where nothing lies half a decade apart.
    """
    logarithms = np.log10(np.maximum(values.astype(np.float64), 10.0**FLOOR_DECADE))
    gaps = np.diff(logarithms)
    if not gaps.size or gaps.max() < _GAP_DECADES:
        return None
    index = int(gaps.argmax())
    return float(values[index]), float(values[index + 1])


def round_number_in(gap: tuple[float, float]) -> float:
    """Return the largest power of ten in `low <= t < high`, else the middle in as few digits as the gap allows."""
    low, high = gap
    if math.isfinite(high) and low <= (power := float(f"1e{math.ceil(math.log10(high)) - 1}")) < high:
        return power
    middle = math.sqrt(max(low, 10.0**FLOOR_DECADE) * high) if math.isfinite(high) else 2 * low
    return next((t for digits in range(1, 8) if low <= (t := float(f"{middle:.{digits}g}")) < high), low)
