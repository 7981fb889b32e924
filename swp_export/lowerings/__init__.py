"""The ways to express a stripe convolution in standard ONNX operators, one per file, and the table of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.lowerings import dense, pad_slice_add

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.lowerings.builder import LayerBuilder
    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lowering:
    """One way to write a StripeConv.

    Attributes:
        refuse: returns why a layer cannot be written this way, or None.
        emit: writes the layer's nodes onto a builder, from its input `[N, C, H, W]`, and returns its output.

    """

    refuse: Callable[[StripeConv], str | None]
    emit: Callable[[LayerBuilder, ir.Value, StripeConv], ir.Value]


LOWERINGS: dict[str, Lowering] = {
    "dense": Lowering(refuse=dense.refuse, emit=dense.emit),
    "pad-slice-add": Lowering(refuse=pad_slice_add.refuse, emit=pad_slice_add.emit),
}
