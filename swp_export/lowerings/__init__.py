"""The ways to express a stripe convolution in standard ONNX operators, one per file, and the table of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.lowerings import (
    cropped,
    dense,
    levels,
    pad_slice_add,
    shift,
    shift_chunks,
    shift_sum,
)
from swp_export.lowerings.split import FORMS, Split

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.lowerings.parts.groups import Labels
    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lowering:
    """One way to write a StripeConv.

    Attributes:
        refuse: returns why a layer cannot be written this way, or None.
        emit: writes the layer's nodes onto a builder, from its input `[N, C, H, W]`, and returns its output.
        order: returns the order of filters in which `emit` has nothing to permute, given the block: int64, -1 is a
            filter of zeros. None: any order will do.
        permutes: in any other order `emit` ends in a Gather. Else the order that it asks for only makes it faster.

    """

    refuse: Callable[[StripeConv], str | None]
    emit: Callable[[LayerBuilder, ir.Value, StripeConv], ir.Value]
    order: Callable[[StripeConv, int], Labels] | None = None
    permutes: bool = False


_SPLITS = {f"split(2, {form})": Split(form) for form in FORMS}
_LEVELS = {f"levels({price})": levels.Levels(price) for price in levels.PRICES}

LOWERINGS: dict[str, Lowering] = {
    "dense": Lowering(refuse=dense.refuse, emit=dense.emit),
    "pad-slice-add": Lowering(
        refuse=pad_slice_add.refuse, emit=pad_slice_add.emit, order=pad_slice_add.order, permutes=True
    ),
    "shift": Lowering(refuse=shift.refuse, emit=shift.emit),
    "shift-sum": Lowering(refuse=shift_sum.refuse, emit=shift_sum.emit),
    **{name: Lowering(refuse=levels.refuse, emit=form.emit, order=form.order) for name, form in _LEVELS.items()},
    "shift-chunks": Lowering(
        refuse=shift_chunks.refuse, emit=shift_chunks.emit, order=shift_chunks.order, permutes=True
    ),
    "cropped": Lowering(refuse=cropped.refuse, emit=cropped.emit, order=cropped.order, permutes=True),
    **{
        name: Lowering(refuse=split.refuse, emit=split.emit, order=split.order, permutes=True)
        for name, split in _SPLITS.items()
    },
}
