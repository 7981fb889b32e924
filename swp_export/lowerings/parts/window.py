"""The smallest legal window of taps, and a dense Conv over it: what lies outside all live taps is left out.

y[o] = b[o] + sum over taps (i, j) of the window:  W[o, :, i, j] . x shifted      pads less d for each tap left out
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.geometry import Part

    Tap = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """The smallest kernel that does what a convolution does: its first tap, its size and the pads that are left."""

    first: tuple[int, int]
    kernel: tuple[int, int]
    pads: tuple[int, int, int, int]


class Padded(Protocol):
    """What a window is cut from: a StripeConv, or what else has a kernel and pads."""

    @property
    def kernel(self) -> tuple[int, int]:
        """`(K_h, K_w)`."""

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """`(top, left, bottom, right)`."""

    @property
    def dilations(self) -> tuple[int, int]:
        """`(d_h, d_w)`."""


def window_of(conv: Padded, live: Sequence[Tap]) -> Window:
    """Return the window of the taps `live` of `conv`, as far as its pads allow: a dropped row takes d of them."""
    taps = np.array(live or [(conv.kernel[0] // 2, conv.kernel[1] // 2)])
    first, kernel, begins, ends = [], [], [], []
    for axis in (0, 1):
        size, dilation, begin, end = conv.kernel[axis], conv.dilations[axis], conv.pads[axis], conv.pads[axis + 2]
        before = min(int(taps[:, axis].min()), begin // dilation)
        after = min(size - 1 - int(taps[:, axis].max()), end // dilation)
        first.append(before)
        kernel.append(size - before - after)
        begins.append(begin - dilation * before)
        ends.append(end - dilation * after)
    return Window(first=(first[0], first[1]), kernel=(kernel[0], kernel[1]), pads=(*begins, *ends))  # type: ignore[arg-type]


def emit_window(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` `[N, C, H, W]` as one Conv over the window of its live taps, and return its output."""
    conv = part.conv
    window = window_of(conv, conv.skeleton.live_taps)
    (i, j), (height, width) = window.first, window.kernel
    return builder.conv(
        x,
        conv.weight[:, :, i : i + height, j : j + width],
        "window",
        bias=conv.bias,
        attributes={"strides": conv.strides, "pads": window.pads, "dilations": conv.dilations},
        geometry=part.geometry(window=window.first, bias=range(conv.filters)),
    )
