"""Which lowering a layer gets where nothing has been measured: count the work, per output position.

    dense           N * K_h * K_w * C multiply-adds, one node
    pad-slice-add   rows * C multiply-adds; C + 5*rows + 3*N elements moved (Pad C; Slice, Concat, Gather, Split and Sum
                    read `rows` each; Sum, Concat and, where the order is not free, Gather write N each); at stride 1 a
                    Slice for each tap, a Sum for each number of stripes above one that filters have, and five nodes

A moved element costs about as much as MOVE multiply-adds of a blocked convolution (`make bench` measures it), a node as
much as NODE of them, which a large map spreads over its positions. Breaking a layer pays iff the second sum is smaller.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.convolutions import LAYER, iterate_stripe_convs
from swp_export.graph.flops import infer_shapes
from swp_export.lowerings import pad_slice_add

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv

MOVE = 12
"""Multiply-adds that cost as much as moving one float32; one thread, AVX2: measured 8 to 44, most on small maps."""
NODE = 30_000
"""Multiply-adds that cost as much as a node beside its work; AVX-512, of 15,000 to 120,000 the best on six networks."""


def choose_all(model: ir.Model, input_shape: tuple[int, int, int]) -> dict[str, tuple[str, str]]:
    """Return the lowering for each layer of the compact `model`, and the reason, for an image `(C, H, W)`."""
    shapes = infer_shapes(ir.serde.serialize_model(model), (1, *input_shape))
    return {
        conv.name: choose(conv, math.prod(shapes[node.outputs[0].name or ""][2:]))
        for node, conv in iterate_stripe_convs(model.graph)
        if LAYER in node.metadata_props
    }


def choose(conv: StripeConv, positions: int) -> tuple[str, str]:
    """Return the name of the lowering for `conv` at so many output positions, and the reason, one short phrase."""
    refusal = pad_slice_add.refuse(conv)
    if refusal is not None:
        return "dense", refusal
    live = conv.skeleton
    counts = np.maximum(live.stripes_per_filter, 1)
    rows, nodes = int(counts.sum()), len(live.live_taps) + np.unique(counts[counts > 1]).size + 5
    dense = live.stripes * conv.channels + NODE / positions
    moved = conv.channels + 5 * rows + 3 * conv.filters
    broken = rows * conv.channels + MOVE * moved + NODE * nodes / positions
    if broken < dense:
        return "pad-slice-add", f"{dense / broken:.1f} times less work"
    return "dense", f"breaking it would cost {broken / dense:.1f} times the work"
