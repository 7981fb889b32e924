"""In which order the live stripes of a layer become the rows of its 1x1 convolutions.

With stride s, a tap at offset o reads the positions o, o+s, o+2s, ... of the padded input: one of s*s strided *planes*.
All taps of a plane share one 1x1 convolution, which so computes kept positions only. At stride 1 there is one plane.
Rows are ordered by plane, then by tap, then by filter: `(i, j, filter)` at stride 1, the order of the method.

Each filter's bias rides on its first row (the padded ring holds W.0 + b = b, so the bias survives every shift). A
filter without any live stripe gets one row of zero weights that carries its bias alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """What the live taps of a layer need of one spatial axis.

    Attributes:
        begin: positions to pad (or, if negative, to crop) before the first one.
        end: the same after the last one.
        span: distance between the first and the last live tap's offset.

    """

    begin: int
    end: int
    span: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plane:
    """One strided plane of the padded input and the stripes computed on it.

    Attributes:
        first: `(top, left)` offset of the plane in the window of live taps.
        last: `(bottom, right)` offset of the last tap on it.
        rows: `(i, j, filter)` of each row, in order.

    """

    first: tuple[int, int]
    last: tuple[int, int]
    rows: tuple[tuple[int, int, int], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StripeRows:
    """The rows of a layer: see the module's docstring.

    Attributes:
        axes: the window of live taps, vertical and horizontal.
        offsets: offset of tap (i, j) in that window, by tap.
        planes: in order; their rows, one after the other, are all rows.

    """

    axes: tuple[Axis, Axis]
    offsets: dict[tuple[int, int], tuple[int, int]]
    planes: tuple[Plane, ...]

    @property
    def rows(self) -> list[tuple[int, int, int]]:
        """All rows, `(i, j, filter)`."""
        return [row for plane in self.planes for row in plane.rows]

    def bias_rows(self) -> dict[int, int]:
        """Return the row that carries each filter's bias, by filter."""
        first: dict[int, int] = {}
        for index, (_, _, filter_) in enumerate(self.rows):
            first.setdefault(filter_, index)
        return first


def stripe_rows(conv: StripeConv) -> StripeRows:
    """Lay out the rows of `conv`; depends on its skeleton and geometry, not on its values."""
    mask = conv.skeleton.mask.copy()
    carrier = conv.skeleton.live_taps[0] if conv.skeleton.live_taps else (0, 0)
    mask[(~mask.any(axis=(1, 2)), *carrier)] = True
    taps = [(int(i), int(j)) for i, j in np.argwhere(mask.any(axis=0))]
    axes, starts = [], []
    for axis in (0, 1):
        offsets = [conv.dilations[axis] * tap[axis] for tap in taps]
        low, high, extent = min(offsets), max(offsets), conv.dilations[axis] * (conv.kernel[axis] - 1)
        begin, end = conv.pads[axis] - low, conv.pads[axis + 2] - (extent - high)
        axes.append(Axis(begin=begin, end=end, span=high - low))
        starts.append(low)
    place = {(i, j): (conv.dilations[0] * i - starts[0], conv.dilations[1] * j - starts[1]) for i, j in taps}
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for tap in taps:
        phase = (place[tap][0] % conv.strides[0], place[tap][1] % conv.strides[1])
        groups.setdefault(phase, []).append(tap)
    planes = tuple(_plane(groups[phase], place, mask) for phase in sorted(groups))
    return StripeRows(axes=(axes[0], axes[1]), offsets=place, planes=planes)


def _plane(taps: list[tuple[int, int]], place: dict[tuple[int, int], tuple[int, int]], mask: np.ndarray) -> Plane:
    vertical, horizontal = [place[tap][0] for tap in taps], [place[tap][1] for tap in taps]
    rows = tuple((i, j, int(f)) for i, j in taps for f in np.flatnonzero(mask[:, i, j]))
    return Plane(first=(min(vertical), min(horizontal)), last=(max(vertical), max(horizontal)), rows=rows)
