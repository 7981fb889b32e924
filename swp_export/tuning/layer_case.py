"""A layer by itself: as it stands in its network, and as a model to be measured."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.flops import infer_shapes
from swp_export.graph.builder import DEFAULT_MULTIPLE, LayerBuilder
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import LAYER
from swp_export.graph.passes.order_channels import free_layers
from swp_export.graph.weights_apart import light_proto
from swp_export.lowerings import lowering_named
from swp_export.lowerings.automatic import automatic
from swp_export.lowerings.parts.geometry import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LayerCase:
    """A layer as it stands in its network: what it computes, of which input, and whether its filters may be ordered."""

    conv: StripeConv
    input_shape: tuple[int, ...]
    free: bool

    @property
    def positions(self) -> int:
        """Positions of the output that a run computes: images times height times width."""
        batch, _, *sizes = self.input_shape
        conv = self.conv
        pads = zip(conv.pads[:2], conv.pads[2:], strict=True)
        geometry = zip(sizes, pads, conv.kernel, conv.dilations, conv.strides, strict=True)
        return batch * math.prod((n + sum(pad) - d * (k - 1) - 1) // s + 1 for n, pad, k, d, s in geometry)


def layer_cases(compact: ir.Model, shape: Sequence[int]) -> list[LayerCase]:
    """Return the layers of `compact` in execution order, for an input `shape` `(N, C, H, W)`."""
    shapes = infer_shapes(light_proto(compact), shape)
    free = free_layers(compact.graph)
    return [
        LayerCase(conv=conv, input_shape=shapes[node.inputs[0].name or ""], free=node.name in free)
        for node, conv in iterate_stripe_convs(compact.graph)
        if node.inputs[0] is not None and LAYER in node.metadata_props
    ]


def counted_plan(cases: Sequence[LayerCase], threads: int) -> dict[str, str]:
    """Return the plan that `auto` counts: the lowering of each layer."""
    return {case.conv.name: automatic(case.conv, case.positions, threads)[0] for case in cases}


def with_filled_input(case: LayerCase, multiple: int) -> LayerCase:
    """Return `case` with its input filled up to whole blocks, as the layers before it do; a narrower one stays."""
    missing = -case.conv.channels % multiple
    if case.conv.channels < multiple or not missing:
        return case
    batch, channels, *size = case.input_shape
    weight = np.pad(case.conv.weight, ((0, 0), (0, missing), (0, 0), (0, 0))).astype(np.float32)
    conv = dataclasses.replace(case.conv, weight=weight)
    return dataclasses.replace(case, conv=conv, input_shape=(batch, channels + missing, *size))


def layer_model(case: LayerCase, name: str, multiple: int) -> bytes:
    """Return a model of the layer between two others, written by the lowering `name`; in its order where it is free."""
    conv, lowering = case.conv, lowering_named(name)
    if case.free:
        conv = Part(conv, tuple(lowering.order(conv, multiple).tolist())).conv
    return serialized(model_of_layer(conv, lowering.emit, multiple=multiple, between=True), {})


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
