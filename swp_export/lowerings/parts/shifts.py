"""The three convolutions that lowerings by shifts are made of.

    pointwise    row r = W[f, :, i, j] . x                        1x1 Conv, a row per stripe  [N, R, H, W]
    depthwise    row r shifted to its tap, every s-th position    one-hot depthwise Conv      [N, R, H', W']
    summed       y[o] = b[o] + sum of the rows of filter o        1x1 Conv with a 0/1 matrix  [N, N_filters, H', W']

Exact in real arithmetic: a product with 0 or 1 changes nothing, and what the depthwise Conv pads is 0, as the stripes'
input is there, since no bias has been added yet. Strides, pads and dilations are those of the depthwise Conv, so no
size is written anywhere. All three stay in ONNX Runtime's blocked layout where the rows are a multiple of the block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.parts.window import window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.builder import Attributes, LayerBuilder
    from swp_export.lowerings.parts.fill import Rows
    from swp_export.lowerings.parts.geometry import Part, Stripe
    from swp_export.lowerings.parts.window import Tap
    from swp_export.stripes import StripeConv


def stripes_of(conv: StripeConv) -> list[list[Stripe]]:
    """Return the live stripes `(filter, i, j)` of each filter of `conv`, in row-major order of their taps."""
    stripes: list[list[Stripe]] = [[] for _ in range(conv.filters)]
    for filter_, i, j in np.argwhere(conv.skeleton.mask):
        stripes[filter_].append((int(filter_), int(i), int(j)))
    return stripes


def taps_of(rows: Rows) -> list[Tap]:
    """Return the taps of `rows`, each once."""
    return sorted({row[1:] for row in rows if row is not None})


def shifted(builder: LayerBuilder, x: ir.Value, part: Part, rows: Rows, bias: Sequence[int] | None = None) -> ir.Value:
    """Write the stripes `rows`, shifted: by two Convs, or by one where their window is a single tap.

    Args:
        builder: of the layer.
        x: its input `[N, C, H, W]`.
        part: what is written.
        rows: `(filter, i, j)`, None for a row of zeros.
        bias: the filter whose bias each row adds, -1 for none.

    """
    window = window_of(part.conv, taps_of(rows))
    if window.kernel == (1, 1):
        return pointwise(builder, x, part, rows, bias, {"strides": part.conv.strides, "pads": window.pads})
    return depthwise(builder, pointwise(builder, x, part, rows), part, rows, bias)


def pointwise(
    builder: LayerBuilder,
    x: ir.Value,
    part: Part,
    rows: Rows,
    bias: Sequence[int] | None = None,
    attributes: Attributes | None = None,
) -> ir.Value:
    """Write the 1x1 Conv to the stripes `rows`."""
    conv = part.conv
    weight = np.zeros((len(rows), conv.channels, 1, 1), conv.weight.dtype)
    for index, row in enumerate(rows):
        if row is not None:
            weight[index, :, 0, 0] = conv.weight[row[0], :, row[1], row[2]]
    return builder.conv(
        x,
        weight,
        "stripes",
        bias=_biases(conv, bias),
        attributes=attributes,
        geometry=part.geometry(stripes=rows, bias=bias),
    )


def depthwise(
    builder: LayerBuilder, y: ir.Value, part: Part, rows: Rows, bias: Sequence[int] | None = None
) -> ir.Value:
    """Write the one-hot depthwise Conv that shifts `rows`; `bias`: the filter whose bias each row adds, -1 for none."""
    conv, window = part.conv, window_of(part.conv, taps_of(rows))
    weight = np.zeros((len(rows), 1, *window.kernel), conv.weight.dtype)
    for index, row in enumerate(rows):
        if row is not None:
            weight[index, 0, row[1] - window.first[0], row[2] - window.first[1]] = 1
    return builder.conv(
        y,
        weight,
        "shift",
        bias=_biases(conv, bias),
        attributes={
            "strides": conv.strides,
            "pads": window.pads,
            "dilations": conv.dilations,
            "group": len(rows),
        },
        geometry=None if bias is None else part.geometry(bias=bias),
    )


def summed(
    builder: LayerBuilder, z: ir.Value, part: Part, rows: Rows, *, groups: int = 1, biased: bool = True
) -> ir.Value:
    """Write the 1x1 Conv that sums each filter's `rows`; with `groups`, a grouped one: as many rows for each group."""
    conv = part.conv
    in_group, rows_in_group = conv.filters // groups, len(rows) // groups
    weight = np.zeros((conv.filters, rows_in_group, 1, 1), conv.weight.dtype)
    for index, row in enumerate(rows):
        if row is not None:
            assert row[0] // in_group == index // rows_in_group
            weight[row[0], index % rows_in_group] = 1
    return builder.conv(
        z,
        weight,
        "sum",
        bias=conv.bias if biased else None,
        attributes={"group": groups} if groups > 1 else None,
        geometry=part.geometry(bias=range(conv.filters)) if biased else None,
    )


def _biases(conv: StripeConv, filters: Sequence[int] | None) -> np.ndarray | None:
    return None if filters is None else np.where(np.array(filters) >= 0, conv.bias[list(filters)], 0)
