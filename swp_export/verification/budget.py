"""The budget of an output: how far off rounding alone explains that a model is.

For each case and channel c of an output:

    own(c)     how far the reference's own float32 runs are from the truth, at their worst: as ONNX Runtime optimises it
               for this CPU, and as it does not
    moved(c)   how far the largest of a few random roundings moves it (`rounding`)
    k          how many times as far off as rounded runs the float32 run is: one number per output, by rms
    off(c)     = max(own(c), TAIL * k * moved(c))
    usual(c)   the larger of the median of off over all channels, and of off(c) in usual cases in proportion to scale
    budget(c)  = FACTOR * max(off(c), min(LUCK * off(c), usual(c))),  at least ULPS * eps * max |truth(c)|

A model may be as wrong as the framework it came from, times a small factor: sums are taken in another order, and
BatchNorm is folded into the weights. Each case and channel has a budget of its own, so that a large logit hides
nothing of the others, and inputs of a thousand times the magnitude nothing of the usual ones. The largest of a few
errors may be small by luck; then what is usual counts, up to LUCK times. A channel is an index of axis 1 (a logit, a
map) and, of boxes that a detector gives, of the last one too; the smaller budget counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.verification.runs import Runs

FACTOR = 5.0
"""How many times as far off as rounding explains a model may be; `tests.soak networks` prints what is needed."""
TAIL = 2.0
"""How many times as far as the largest of a few rounded runs some of a thousand outputs go."""
LUCK = 4.0
"""How many times smaller than usual the largest error of a channel in a case may come out by luck."""
MOST = 16.0
"""The largest k: sums of many terms round at every term. It is at least 1: PyTorch approximates better than others."""
NOT_MODELLED = 1e-6
"""Of a channel's scale: what ONNX Runtime's approximated functions may be off; its Sigmoid is by 1e-7."""
ULPS = 8
"""The least budget, in units in the last place of the channel's largest value; one of what it is in usual cases, of 1
at most: functions that runtimes approximate give no more."""
EPS = float(np.finfo(np.float32).eps)


def budgets(cases: Sequence[Runs], usual: Sequence[bool] | None = None) -> list[np.ndarray]:
    """Return the largest error allowed of each element of one output, case by case; see the module's docstring.

    Args:
        cases: what the reference gave, numbers in one shape each.
        usual: which cases say what is usual, inputs of the magnitude that the network is made for; default: all.

    """
    chosen = [runs for runs, counts in zip(cases, usual or [True] * len(cases), strict=True) if counts]
    limits: list[np.ndarray] = []
    for runs in cases:
        if runs.is_exact:
            limits.append(np.where(runs.is_stable, 0.0, np.inf))
            continue
        if not runs.is_finite:
            limits.append(np.full(runs.truth.shape, np.inf))
            continue
        # [N, boxes, values] or [N, A, H, W, values] of a detector; the last axis of a map is a place, no channel.
        axes = (1, runs.truth.ndim - 1) if runs.truth.ndim in {3, 5} else (1,)
        by_axis = [_budget(runs, chosen, axis) for axis in axes]
        limits.append(np.asarray(np.min(by_axis, axis=0)))
    return limits


def unexplained(runs: Runs, usual: Sequence[Runs]) -> float | None:
    """Return how far the reference's own float32 run is off where rounding does not explain it, or None where it does.

    A share of its channel's scale, on this case or on the `usual` ones.
    """
    own, moved = by_channel(runs.own_single), by_channel(runs.moved)
    scale = _largest([runs, *usual], 1, own.shape)
    lucky = np.maximum(moved, np.minimum(LUCK * moved, np.median(moved) if moved.size else 0.0))
    beyond = own > TAIL * MOST * lucky + NOT_MODELLED * scale + EPS * np.max(scale, initial=0)
    if not beyond.any():
        return None
    return float(np.max(np.divide(own, scale, out=np.full_like(own, np.inf), where=scale > 0)[beyond]))


def by_channel(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the largest of `values` `[N, C, ...]` at each index of `axis`; of a vector the largest, `[1]`."""
    axes = None if values.ndim < 2 else tuple(other for other in range(values.ndim) if other != axis)
    return np.atleast_1d(np.max(values, axis=axes, initial=0)).astype(np.float64)


def _budget(runs: Runs, chosen: Sequence[Runs], axis: int) -> np.ndarray:
    """Return the largest error allowed, one for each index of `axis`, in a shape that broadcasts to the output's."""
    k = _times(chosen, axis)

    def off(of: Runs) -> np.ndarray:
        distance: np.ndarray = np.maximum(by_channel(of.own, axis), TAIL * k * by_channel(of.moved, axis))
        return distance

    here, size = off(runs), by_channel(np.abs(runs.truth), axis)
    elsewhere = [off(other) * (runs.scale / other.scale) for other in chosen if other.scale > 0]
    alike = [there for there in elsewhere if there.shape == here.shape]
    usual = np.maximum(np.median(here) if here.size else 0.0, np.max(alike, axis=0) if alike else 0.0)
    granted = np.maximum(here, np.minimum(LUCK * here, usual))
    floor = np.maximum(ULPS * EPS * size, EPS * np.minimum(_largest(chosen, axis, size.shape), 1.0))
    allowed = np.maximum(FACTOR * granted, floor)
    rank = runs.truth.ndim
    shape = [-1 if other == axis else 1 for other in range(rank)] if rank > 1 else [1] * rank
    return np.asarray(np.broadcast_to(allowed.reshape(shape), runs.truth.shape))


def _times(cases: Sequence[Runs], axis: int) -> float:
    """Return k: how many times as far off as rounded runs the float32 runs are, by rms over channels and cases."""
    own, moved = 0.0, 0.0
    for runs in cases:
        if runs.scale > 0:
            own += float(np.mean((by_channel(runs.own, axis) / runs.scale) ** 2))
            moved += float(np.mean((by_channel(runs.moved, axis) / runs.scale) ** 2))
    return min(max((own / moved) ** 0.5, 1.0), MOST) if 0 < moved < np.inf else 1.0


def _largest(cases: Sequence[Runs], axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return the largest size of the truth at each index of `axis`, of all cases that have as many."""
    sizes = [by_channel(np.abs(runs.truth), axis) for runs in cases]
    return np.asarray(np.max([np.zeros(shape), *(size for size in sizes if size.shape == shape)], axis=0))
