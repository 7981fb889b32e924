"""One layer as a model by itself, to measure a form of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.builder import DEFAULT_MULTIPLE, LayerBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.stripes import StripeConv


def model_of_layer(
    conv: StripeConv,
    emit: Callable[[LayerBuilder, ir.Value, StripeConv], ir.Value],
    *,
    multiple: int = DEFAULT_MULTIPLE,
    between: bool = False,
) -> ir.Model:
    """Return a model that maps `input` `[N, C, H, W]` through `conv`, as `emit` writes it, and a Relu.

    Args:
        conv: the layer.
        emit: of a lowering.
        multiple: what rows that are added fill up to a multiple of.
        between: the layer stands between two cheap convolutions, as in a network: what leaves the runtime's layout has
            to go back into it. The model returns the sum of the layer's channels, `multiple` times, in whatever order.

    """
    x = ir.Value(name="input", shape=ir.Shape(["n", conv.channels, "h", "w"]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 18}, name="layer")
    builder = LayerBuilder(graph, conv.name, multiple)
    carried = x
    if between and conv.channels >= multiple:
        ones = np.ones((conv.channels, 1, 1, 1), np.float32)
        carried = builder.conv(x, ones, "before", attributes={"group": conv.channels})
    output, channels = builder.op("Relu", [emit(builder, carried, conv)], "relu"), conv.filters
    if between:
        output, channels = builder.conv(output, np.ones((multiple, channels, 1, 1), np.float32), "after"), multiple
    output.shape, output.type = ir.Shape(["n", channels, "h_out", "w_out"]), x.type
    graph.extend(builder.nodes)
    graph.outputs.append(output)
    return ir.Model(graph, ir_version=10)
