"""One layer as a model by itself, to measure a form of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.lowerings.builder import BLOCK, LayerBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.stripes import StripeConv


def model_of_layer(
    conv: StripeConv, emit: Callable[[LayerBuilder, ir.Value, StripeConv], ir.Value], *, block: int = BLOCK
) -> ir.Model:
    """Return a model that maps `input` `[N, C, H, W]` through `conv`, as `emit` writes it, and a Relu."""
    x = ir.Value(name="input", shape=ir.Shape(["n", conv.channels, "h", "w"]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 18}, name="layer")
    builder = LayerBuilder(graph, conv.name, block)
    output = builder.op("Relu", [emit(builder, x, conv)], "relu")
    output.shape, output.type = ir.Shape(["n", conv.filters, "h_out", "w_out"]), x.type
    graph.extend(builder.nodes)
    graph.outputs.append(output)
    return ir.Model(graph, ir_version=10)
