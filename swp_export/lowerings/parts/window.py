"""A dense Conv over the smallest legal window: the taps before the first and after the last live one are left out.

    y[o] = b[o] + sum over taps (i, j) of the window:  W[o, :, i, j] . x shifted      pads less d for each tap left out

What `cropped` writes for each of its groups, and `split` for filters with many stripes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings.parts.shifts import window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.geometry import Part


def emit_part(builder: LayerBuilder, x: ir.Value, part: Part) -> ir.Value:
    """Write `part` of `x` `[N, C, H, W]` and return its output."""
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
