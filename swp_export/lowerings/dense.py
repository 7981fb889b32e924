"""`dense`: one KxK Conv, its dead stripes written as zeros.

Pays where few channels or many live stripes are left: nothing is moved, and the runtime's own convolution is at its
best. Executes N*K*K*C multiply-adds per output position, of which live stripes * C count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.lowering import Lowering
from swp_export.lowerings.parts.examples import layer

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


class Dense(Lowering):
    """See the module's docstring."""

    name = "dense"

    def why_not(self, conv: StripeConv) -> str | None:  # noqa: ARG002 (the signature is every lowering's)
        """Return None: every convolution can be written densely."""
        return None

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write one Conv."""
        attributes = {"strides": conv.strides, "pads": conv.pads, "dilations": conv.dilations}
        return builder.conv(x, conv.weight, "conv", bias=conv.bias, attributes=attributes)

    def examples(self) -> list[StripeConv]:
        """Return any layers, and one with a 1x1 kernel."""
        return [*super().examples(), layer("1x1 kernel", np.ones((4, 1, 1), bool))]
