"""What the values of Filter Skeletons say before a threshold is chosen, and where one would cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.inspection.report import Bin, Gap, SkeletonValues, ThresholdCounts
from swp_export.network.widest_gap import FLOOR_DECADE, widest_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from swp_export.inspection.layers import Convolution

    Float32 = npt.NDArray[np.float32]

THRESHOLDS = 8
"""How many round thresholds are tried, downwards from the largest value."""
_BINS_PER_DECADE = 2


def skeleton_values(convolutions: Sequence[Convolution]) -> SkeletonValues | None:
    """Return what the values of `convolutions` say; None where they hold none.

    Round thresholds are counted where any layer has yet to be decided.
    """
    arrays = [conv.magnitudes.ravel() for conv in convolutions if conv.magnitudes is not None]
    values: Float32 = np.sort(np.concatenate(arrays)) if arrays else np.empty(0, np.float32)
    if not values.size:
        return None
    undecided = any(conv.skeleton is None for conv in convolutions)
    thresholds = _round_thresholds(float(values[0]), float(values[-1])) if undecided else []
    return SkeletonValues(
        count=values.size,
        zeros=int(np.count_nonzero(values == 0)),
        histogram=_histogram(values[values > 0]),
        gap=_widest_gap(values, convolutions),
        thresholds=tuple(_counts_at(threshold, convolutions) for threshold in thresholds),
    )


def _round_thresholds(smallest: float, largest: float) -> list[float]:
    """Return the last few of ..., 0.001, 0.003, 0.01, ... in `smallest <= threshold < largest`, ascending."""
    if not largest:
        return []
    decade = math.floor(math.log10(largest))
    candidates = [float(f"{digit}e{decade - n}") for n in range(THRESHOLDS) for digit in (3, 1)]
    return sorted(t for t in candidates if smallest <= t < largest)[-THRESHOLDS:]


def _counts_at(threshold: float, convolutions: Sequence[Convolution]) -> ThresholdCounts:
    skeletons = [conv.skeleton_at(threshold) for conv in convolutions]
    return ThresholdCounts(
        threshold=threshold,
        live_stripes=sum(skeleton.live_stripes for skeleton in skeletons),
        live_filters=sum(skeleton.live_filters for skeleton in skeletons),
        dead_layers=sum(skeleton.live_stripes == 0 for skeleton in skeletons),
    )


def _histogram(positive: Float32) -> tuple[Bin, ...]:
    """Count `positive`, sorted, in bins that are half a decade wide."""
    if not positive.size:
        return ()
    steps = np.floor(np.log10(positive.astype(np.float64)) * _BINS_PER_DECADE).astype(int)
    floor = FLOOR_DECADE * _BINS_PER_DECADE
    tiny, steps = int(np.count_nonzero(steps < floor)), steps[steps >= floor]
    bins = [Bin(low=0.0, high=_edge(floor), count=tiny)] if tiny else []
    if steps.size:
        first = floor if tiny else int(steps[0])
        counts = np.bincount(steps - first)
        bins += [Bin(low=_edge(first + n), high=_edge(first + n + 1), count=int(c)) for n, c in enumerate(counts)]
    return tuple(bins)


def _edge(step: int) -> float:
    return float(10 ** (step / _BINS_PER_DECADE))


def _widest_gap(values: Float32, convolutions: Sequence[Convolution]) -> Gap | None:
    """Return the widest gap between neighbours of `values`, sorted, and what a threshold in it keeps."""
    found = widest_gap(values)
    if found is None:
        return None
    low, high = found
    return Gap(low=low, high=high, live_stripes=_counts_at(low, convolutions).live_stripes)
