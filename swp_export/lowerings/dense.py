"""`dense`: one KxK Conv, its dead stripes written as zeros.

Pays where few channels or many live stripes are left: nothing is moved, and the runtime's own convolution is at its
best. Executes N*K*K*C multiply-adds per output position, of which live stripes * C count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


def refuse(conv: StripeConv) -> str | None:  # noqa: ARG001 (the signature is every lowering's)
    """Return None: every convolution can be written densely."""
    return None


def emit(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write `conv` of `x` `[N, C, H, W]` and return its output."""
    inputs = [x, builder.weights(conv.weight, "weight"), builder.weights(conv.bias, "bias")]
    attributes = {
        "kernel_shape": conv.kernel,
        "strides": conv.strides,
        "pads": conv.pads,
        "dilations": conv.dilations,
    }
    return builder.op("Conv", inputs, "conv", attributes)
