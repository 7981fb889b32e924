"""Parameters and FLOPs of a graph: by the paper's count, as a file holds them, and as executed.

One multiply-add counts as 2, at the output positions that are kept. The paper counts convolutions and fully connected
layers, with BatchNorm folded into one bias per filter; of a pruned layer its live stripes, `2 * live stripes * C` per
position. A file holds more than that, and executes more: zeros of a dense layer, the matrices that shift and sum the
stripes of a broken one, and its additions.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from swp_export.graph.analysis.flops import infer_shapes, node_flops
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import layer_name
from swp_export.graph.input_shape import one_image
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import weights_of
from swp_export.graph.weights_apart import light_proto
from swp_export.stripes import LayerCounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx_ir as ir

    from swp_export.graph.metadata import InputShape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters (weights and biases) and FLOPs per image.

    Attributes:
        params: of all layers.
        flops: of all layers.
        layers: the same of each layer.
        layer_positions: output positions that are computed, by layer: height times width of a convolution's map.

    """

    params: int
    flops: int
    layers: dict[str, LayerCounts]
    layer_positions: dict[str, int]


def count(model: ir.Model, input_shape: InputShape, *, live_only: bool) -> Counts:
    """Count the convolutions and fully connected layers of an unlowered `model`.

    Args:
        model: dense or masked.
        input_shape: `(C, H, W)` of one image, or of several inputs by name.
        live_only: of each convolution, count live stripes instead of all: the paper's count.

    Raises:
        ModelError: a shape cannot be inferred.

    """
    flops = node_flops(light_proto(model), one_image(model, input_shape))
    by_layer, positions = dict[str, LayerCounts](), dict[str, int]()
    for node, dense in zip(model.graph, flops, strict=True):
        weight, weights = array_of(node.inputs[1]) if dense else None, weights_of(node)
        if weight is None:
            continue
        share = 1.0 if weights is None or not live_only else weights.live_share()
        name = layer_name(node)
        params = round(weight.size * share) + (weight.shape[-1] if weights is None else weights.filters)
        _add(by_layer, name, params, round(dense * share))  # of a grouped layer there may be several
        positions[name] = dense // (2 * weight.size)
    return Counts(
        params=sum(layer.params for layer in by_layer.values()),
        flops=sum(layer.flops for layer in by_layer.values()),
        layers=by_layer,
        layer_positions=positions,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Floats:
    """Floating-point numbers that a file stores.

    Attributes:
        total: all of them, of whatever type.
        helpers: those of a layer's matrices that hold nothing but 0 and 1: they shift stripes, and sum them.

    """

    total: int
    helpers: int


def stored_floats(model: ir.Model) -> Floats:
    """Count the numbers in the initializers and Constant nodes of `model`, subgraphs included."""
    layers = [node for node in model.graph if LAYER in node.metadata_props]
    matrices = {id(value): value for node in layers for value in node.inputs if value is not None}
    arrays = [array_of(value) for value in matrices.values() if value.is_initializer()]
    return Floats(
        total=sum(tensor.size for tensor in _tensors(model.graph) if tensor.dtype.is_floating_point()),
        helpers=sum(array.size for array in arrays if array is not None and _is_helper(array)),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Executed:
    """FLOPs per image of a file as it stands: `products`, zeros included, and every one of the `additions`.

    `layers` has the products of each layer, and the floats that it holds; shared ones count for the first that reads
    them.
    """

    products: int
    additions: int
    layers: dict[str, LayerCounts]


def executed(model: ir.Model, input_shape: InputShape) -> Executed:
    """Count what `model` executes.

    Raises:
        ModelError: a shape cannot be inferred.

    """
    proto = light_proto(model)
    fed = one_image(model, input_shape)
    shapes = infer_shapes(proto, fed)
    additions = sum(
        (len(node.input) - 1) * math.prod(shapes.get(node.output[0], (0,)))
        for node in proto.graph.node
        if operator_of(node) in {"Add", "Sum"}
    )
    flops = node_flops(proto, fed)
    return Executed(products=sum(flops), additions=additions, layers=_written_layers(model, flops))


def _written_layers(model: ir.Model, flops: list[int]) -> dict[str, LayerCounts]:
    by_layer: dict[str, LayerCounts] = {}
    counted: set[ir.Value] = set()
    for node, products in zip(model.graph, flops, strict=True):
        stored = {value for value in node.inputs if value is not None and value.const_value is not None} - counted
        if LAYER in node.metadata_props or products:
            floats = sum(
                value.const_value.size
                for value in stored
                if value.const_value is not None and value.const_value.dtype.is_floating_point()
            )
            _add(by_layer, layer_name(node), floats, products)
            counted |= stored
    return by_layer


def _add(by_layer: dict[str, LayerCounts], name: str, params: int, flops: int) -> None:
    before = by_layer.get(name, LayerCounts(params=0, flops=0))
    by_layer[name] = LayerCounts(params=before.params + params, flops=before.flops + flops)


def _tensors(graph: ir.Graph) -> Iterator[ir.TensorProtocol]:
    for inner in (graph, *graph.subgraphs()):
        for value in inner.initializers.values():
            if value.const_value is not None:
                yield value.const_value
        for node in inner:
            if node.op_type == "Constant" and "value" in node.attributes:
                yield node.attributes["value"].as_tensor()


def _is_helper(array: np.ndarray) -> bool:
    return array.ndim > 1 and array.dtype.kind not in "iub" and bool(((array == 0) | (array == 1)).all())
