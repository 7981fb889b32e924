"""A lowering that a test decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.lowerings.dense import Dense
from swp_export.lowerings.lowering import Lowering

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv

    Emit = Callable[[LayerBuilder, ir.Value, StripeConv], ir.Value]


class LoweringDouble(Lowering):
    """Writes what `write` does, by default a dense Conv; `reason` is why it cannot."""

    def __init__(self, write: Emit | None = None, reason: str | None = None, name: str = "double") -> None:
        self._name = name
        self._write, self._reason = write or Dense().emit, reason

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    def why_not(self, conv: StripeConv) -> str | None:  # noqa: ARG002
        """Return the reason, whatever the layer."""
        return self._reason

    def emit(self, builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        """Write what the test decides."""
        return self._write(builder, x, conv)

    def examples(self) -> list[StripeConv]:
        """Return none."""
        return []


def one_percent_off(right: Lowering) -> LoweringDouble:
    """Return a lowering in the place of `right` with a defect that its metadata do not show."""

    def write(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        scale = builder.weights(np.array(1.01, conv.weight.dtype), "scale")
        return builder.op("Mul", [right.emit(builder, x, conv), scale], "wrong")

    return LoweringDouble(write, name=right.name)
