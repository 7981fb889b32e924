"""Skeletons and stripe convolutions: what stripe-wise pruning leaves of a layer, over numpy alone.

A filter of a KxK convolution is K*K *stripes*, each the `[C]` vector of weights at one kernel position (*tap*). A
*skeleton* says which stripes are live. "Pruning Filter in Filter", NeurIPS 2020, arXiv 2009.14410, section 3.1.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
    """Which stripes of a convolution are live: `mask`, bool `[N, K_h, K_w]`."""

    mask: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.mask.ndim != 3 or self.mask.dtype != np.bool_:
            raise ValueError(f"a skeleton is bool [N, K_h, K_w], got {self.mask.dtype} {list(self.mask.shape)}")

    @classmethod
    def from_weight(cls, weight: Float) -> Skeleton:
        """Return the skeleton of `weight` `[N, C, K_h, K_w]`: a stripe is live where any weight is not exactly zero."""
        return cls(np.any(weight != 0, axis=1))

    @property
    def filters(self) -> int:
        """N."""
        return int(self.mask.shape[0])

    @property
    def kernel(self) -> tuple[int, int]:
        """`(K_h, K_w)`."""
        return self.mask.shape[1], self.mask.shape[2]

    @property
    def stripes(self) -> int:
        """Number of stripes, live or dead."""
        return self.mask.size

    @cached_property
    def live_stripes(self) -> int:
        """Number of live stripes."""
        return int(self.mask.sum())

    @cached_property
    def stripes_per_filter(self) -> npt.NDArray[np.int64]:
        """Number of live stripes of each filter, `[N]`."""
        counts: npt.NDArray[np.int64] = self.mask.sum(axis=(1, 2), dtype=np.int64)
        return counts

    @property
    def live_filters(self) -> int:
        """Number of filters with at least one live stripe."""
        return int(np.count_nonzero(self.stripes_per_filter))

    @cached_property
    def live_taps(self) -> list[tuple[int, int]]:
        """The taps `(i, j)` at which any stripe is live, in row-major order."""
        return [(int(i), int(j)) for i, j in np.argwhere(self.mask.any(axis=0))]


@dataclasses.dataclass(frozen=True, eq=False)
class StripeConv:
    """A convolution seen as stripes; `skeleton` is where its weight is not exactly zero.

        y[o] = bias[o] + sum over live (i, j):  weight[o, :, i, j] . x shifted by (d*i - top, d*j - left), every s-th

    Attributes:
        name: The layer's name in its checkpoint.
        weight: float `[N, C, K_h, K_w]`, exactly zero in dead stripes.
        bias: float `[N]`.
        strides: `(s_h, s_w)`.
        pads: `(top, left, bottom, right)`, zeros, never negative.
        dilations: `(d_h, d_w)`.

    """

    name: str
    weight: Float
    bias: Float
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.weight.ndim != 4 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"{self.name}: expected weight [N, C, K_h, K_w] and bias [N], "
                f"got {list(self.weight.shape)} and {list(self.bias.shape)}"
            )
        if min(self.strides) < 1 or min(self.dilations) < 1 or min(self.pads) < 0:
            raise ValueError(f"{self.name}: strides and dilations are positive, pads are not negative")

    @cached_property
    def skeleton(self) -> Skeleton:
        """The skeleton of `weight`."""
        return Skeleton.from_weight(self.weight)

    @property
    def filters(self) -> int:
        """N, output channels."""
        return int(self.weight.shape[0])

    @property
    def channels(self) -> int:
        """C, input channels."""
        return int(self.weight.shape[1])

    @property
    def kernel(self) -> tuple[int, int]:
        """`(K_h, K_w)`."""
        return self.weight.shape[2], self.weight.shape[3]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterShape:
    """A shape that filters of a layer have: `taps`, one digit for each kernel position in row-major order, 1 is live.

    `filters` of the layer have it.
    """

    taps: str
    filters: int


def filter_shapes(live: npt.NDArray[np.bool_]) -> tuple[FilterShape, ...]:
    """Return the shapes of the filters of a layer, the most frequent first, from its `live` stripes `[N, *kernel]`."""
    flat = live.reshape(live.shape[0], math.prod(live.shape[1:]))
    counted = Counter("".join("1" if tap else "0" for tap in row) for row in flat.tolist())
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FilterShape(taps=taps, filters=filters) for taps, filters in ordered)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCounts:
    """What one layer holds and computes.

    Attributes:
        params: weights and biases.
        flops: for one input, a multiply-add counted as 2.

    """

    params: int
    flops: int


def warn_of_dead_layers(layers: Sequence[str], at: str = "") -> tuple[str, ...]:
    """Return one sentence on the names of `layers`, none of whose stripes is live, or nothing if there are none."""
    names = ", ".join(layers)
    text = f"no live stripe{at} in {names}: such a layer's output is constant, only paths around it carry the input on"
    return (text,) if layers else ()
