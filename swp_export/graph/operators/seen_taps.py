"""Which taps of a kernel see the map, and which the zeros around it, at each kind of place of the output."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.fixed_maps import LARGEST_SPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.graph.operators.node_view import Dim


def taps_of_conv(size: int, kernel: int, stride: int, dilation: int, begin: int, end: int) -> np.ndarray:
    """Return bool `[places, taps]` of one axis: tap i of place t reads the map at `s*t + d*i - begin`."""
    places = max(0, (size + begin + end - dilation * (kernel - 1) - 1) // stride + 1)
    read = stride * np.arange(places)[:, None] + dilation * np.arange(kernel) - begin
    return (read >= 0) & (read < size)


def taps_of_transposed(size: int, kernel: int, stride: int, dilation: int, begin: int, end: int) -> np.ndarray:
    """Return bool `[places, taps]` of one axis: tap i of place y reads the map at `(y + begin - d*i) / s`."""
    places = max(0, (size - 1) * stride + dilation * (kernel - 1) + 1 - begin - end)
    read = np.arange(places)[:, None] + begin - dilation * np.arange(kernel)
    return (read % stride == 0) & (read >= 0) & (read < size * stride)


def seen_taps(
    along: Callable[[int, int, int, int, int, int], np.ndarray],
    sizes: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> np.ndarray | None:
    """Return bool `[kinds, *kernel]`: the sets of taps that see the map together; None where there are too many.

    Args:
        along: `taps_of_conv` or `taps_of_transposed`.
        sizes: of the map; where one is open, the kinds of all sizes count.
        kernel: how many taps along each axis.
        strides: of each axis.
        dilations: of each axis.
        pads: the begins, then the ends.

    """
    rank = len(kernel)
    by_axis = []
    for axis, size in enumerate(sizes):
        geometry = (kernel[axis], strides[axis], dilations[axis], pads[axis], pads[axis + rank])
        by_axis.append(_kinds(along, size if isinstance(size, int) else None, geometry))
        if math.prod(kinds.shape[0] for kinds in by_axis) not in range(1, LARGEST_SPACE + 1):
            return None
    kinds = [functools.reduce(np.multiply.outer, masks) for masks in itertools.product(*by_axis)]
    return np.array(kinds, bool).reshape(-1, *kernel)


@functools.lru_cache(maxsize=256)
def _kinds(
    along: Callable[[int, int, int, int, int, int], np.ndarray], size: int | None, geometry: tuple[int, ...]
) -> np.ndarray:
    """Return bool `[kinds, taps]` of one axis; of all sizes where that is open."""
    if size is not None:
        return np.unique(along(size, *geometry), axis=0)
    kernel, stride, dilation, begin, end = geometry
    # A map longer than this has both of its ends in no window, and so no other kinds than one that is a stride shorter.
    longest = 2 * (dilation * (kernel - 1) + 1) + begin + end + 2 * stride
    return np.unique(np.concatenate([along(n, *geometry) for n in range(1, longest + 1)]), axis=0)
