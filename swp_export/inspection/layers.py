"""From the convolutions of a file, whatever it is, to what `inspect` says of them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.inspection.report import InspectedLayer, LayerTotals, Magnitudes
from swp_export.stripes import Skeleton, filter_shapes, warn_of_dead_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """A convolution of a file.

    Attributes:
        name: as in `InspectedLayer`; so are `filters_before` and `lowering`.
        channels: C.
        skeleton: None where a threshold has yet to decide.
        magnitudes: |FilterSkeleton|, float32 `[N, K_h, K_w]`; None where no threshold applies.
        kernel: its sizes, where they are not two.

    """

    name: str
    channels: int
    skeleton: Skeleton | None
    magnitudes: npt.NDArray[np.float32] | None = None
    filters_before: int | None = None
    lowering: str | None = None
    kernel: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.skeleton is None and self.magnitudes is None:
            raise ValueError(f"{self.name}: a convolution has a skeleton, or values that a threshold decides on")

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, C, K_h, K_w)`, or `(N, C, *kernel)`."""
        known = self.magnitudes if self.skeleton is None else self.skeleton.mask
        assert known is not None
        filters, *kernel = known.shape
        return filters, self.channels, *(self.kernel or kernel)

    def skeleton_at(self, threshold: float) -> Skeleton:
        """Return the skeleton that `threshold` decides on; the known one where none applies."""
        if self.magnitudes is None:
            assert self.skeleton is not None
            return self.skeleton
        return skeleton_above(self.magnitudes, threshold)


def skeleton_above(magnitudes: npt.NDArray[np.float32], threshold: float) -> Skeleton:
    """Return where `magnitudes` exceed `threshold`, compared in float32 as everywhere else."""
    return Skeleton(magnitudes > np.float32(threshold))


def inspected(conv: Convolution) -> InspectedLayer:
    """Return what there is to say about `conv`."""
    skeleton = conv.skeleton
    filters, _, *kernel = conv.shape
    return InspectedLayer(
        name=conv.name,
        shape=conv.shape,
        filters=filters,
        filters_before=conv.filters_before,
        live_filters=None if skeleton is None else skeleton.live_filters,
        stripes=filters * math.prod(kernel),
        live_stripes=None if skeleton is None else skeleton.live_stripes,
        live_share_per_tap=None if skeleton is None else _shares(skeleton),
        stripes_per_filter=None if skeleton is None else _histogram(skeleton),
        filter_shapes=None if skeleton is None else filter_shapes(skeleton.mask),
        magnitudes=_quantiles(conv.magnitudes),
        lowering=conv.lowering,
    )


def totals_of(layers: Sequence[InspectedLayer], *, stripes_before: int | None = None) -> LayerTotals:
    """Return the sums over `layers`."""
    live_filters = [layer.live_filters for layer in layers if layer.live_filters is not None]
    live_stripes = [layer.live_stripes for layer in layers if layer.live_stripes is not None]
    decided = len(live_stripes) == len(layers)
    return LayerTotals(
        filters=sum(layer.filters for layer in layers),
        live_filters=sum(live_filters) if decided else None,
        stripes=sum(layer.stripes for layer in layers),
        live_stripes=sum(live_stripes) if decided else None,
        stripes_before=stripes_before,
    )


def dead_layer_warnings(layers: Sequence[InspectedLayer]) -> tuple[str, ...]:
    """Return one sentence on the layers without a live stripe, if there are any."""
    return warn_of_dead_layers([layer.name for layer in layers if layer.live_stripes == 0])


def _shares(skeleton: Skeleton) -> tuple[tuple[float, ...], ...]:
    shares = skeleton.mask.sum(axis=0) / max(1, skeleton.filters)
    return tuple(tuple(float(share) for share in row) for row in shares)


def _histogram(skeleton: Skeleton) -> tuple[int, ...]:
    height, width = skeleton.kernel
    counts = np.bincount(skeleton.stripes_per_filter, minlength=height * width + 1)
    return tuple(int(count) for count in counts)


def _quantiles(magnitudes: npt.NDArray[np.float32] | None) -> Magnitudes | None:
    if magnitudes is None or not magnitudes.size:
        return None
    return Magnitudes(
        minimum=float(magnitudes.min()), median=float(np.median(magnitudes)), maximum=float(magnitudes.max())
    )
