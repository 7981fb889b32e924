"""Stripes of weights without Filter Skeletons, measured by the largest one of their layer.

    a stripe is dead    <=>    |stripe| <= F * max over its layer of |stripe|,    |.| the L2 norm over input channels

Such a network's layers are as large as their training left them. BatchNorm may scale filters behind that; the weights
alone count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ThresholdError
from swp_export.network.widest_gap import widest_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Norms = npt.NDArray[np.float32]


def require_share(share: float) -> None:
    """Check F.

    Raises:
        ThresholdError: it is no share of a norm.

    """
    if not 0 <= share < 1:
        raise ThresholdError(
            f"the threshold is {share:g}, expected at least 0 and below 1: without Filter Skeletons it is a share of "
            "the largest stripe norm of each layer"
        )


def relative_norms(weight: np.ndarray) -> Norms:
    """Return the norm of each stripe of `weight` `[N, C, K_h, K_w]` by the largest one, `[N, K_h, K_w]`; 0 of zeros."""
    norms = np.sqrt(np.square(weight.astype(np.float64)).sum(axis=1))
    largest = norms.max(initial=0.0)
    # A stripe that is not zero must not become one by rounding.
    relative = norms / largest if largest else norms
    result: Norms = np.maximum(relative, np.where(norms > 0, np.finfo(np.float32).tiny, 0)).astype(np.float32)
    return result


def widest_gap_of(norms: Sequence[Norms]) -> tuple[float, float] | None:
    """Return the widest gap between the relative norms of all layers together, if one is wide."""
    return widest_gap(np.sort(np.concatenate([of_layer.ravel() for of_layer in norms]))) if norms else None


def beyond_gap(norms: Sequence[Norms], share: float, path: object) -> tuple[str, ...]:
    """Return one sentence where `share` lies beyond the widest gap of the relative `norms` of the model `path`."""
    gap = widest_gap_of(norms)
    if gap is None or share < gap[1]:
        return ()
    lost = sum(int(((of_layer > gap[0]) & (of_layer <= np.float32(share))).sum()) for of_layer in norms)
    text = (
        f"the network was probably destroyed: the threshold {share:g} lies beyond the widest gap of the stripes' "
        f"relative norms, {gap[0]:.3g} to {gap[1]:.3g}, and cuts {lost} stripes above it; `swp-export inspect {path}` "
        "shows how they lie: take one inside that gap"
    )
    return (text,)


def dead_stripes(norms: Norms, share: float) -> npt.NDArray[np.bool_]:
    """Return which stripes are dead, compared in float32 as skeletons are."""
    dead: npt.NDArray[np.bool_] = norms <= np.float32(share)
    return dead


def with_zeroed(path: object, stripes: int, share: float) -> str:
    """Say what a file is of which so many `stripes` were set to zero."""
    return (
        f"{path} with {stripes:,} stripes set to zero, those of at most {share:g} times the largest norm of their layer"
    )
