"""Parameters and FLOPs of a graph: dense, by the paper's count, and as executed.

One multiply-add counts as 2, at the output positions that are kept. Convolutions and fully connected layers are
counted, with BatchNorm folded into one bias per filter. Of a pruned layer the paper counts its live stripes:
`2 * live stripes * C` per position. What is executed differs from that: zeros of a dense layer are multiplied too, and
the additions of a broken one are real.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from swp_export.graph.channels import weight_matrix
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import LAYER
from swp_export.graph.flops import infer_shapes, node_flops
from swp_export.graph.operators import operator_of
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters (weights and biases) and FLOPs per image; `layer_flops` by layer name."""

    params: int
    flops: int
    layer_flops: dict[str, int]


def count(model: ir.Model, input_shape: tuple[int, int, int], *, live_only: bool) -> Counts:
    """Count the convolutions and fully connected layers of an unlowered `model`.

    Args:
        model: dense or masked.
        input_shape: `(C, H, W)` of one image.
        live_only: of each group-1 convolution, count live stripes instead of all: the paper's count.

    Raises:
        ModelError: a shape cannot be inferred.

    """
    flops = node_flops(ir.serde.serialize_model(model), (1, *input_shape))
    params, by_layer = 0, dict[str, int]()
    for node, dense in zip(model.graph, flops, strict=True):
        weight = array_of(node.inputs[1]) if dense else None
        if weight is None:
            continue
        share = _live_share(node, weight) if live_only else 1.0
        name = node.metadata_props.get(LAYER) or node.name or node.op_type
        by_layer[name] = by_layer.get(name, 0) + round(dense * share)  # nodes without a name count together
        outputs = weight.shape[0] if operator_of(node) == "Conv" else weight.size // _inputs(node, weight)
        params += round(weight.size * share) + outputs
    return Counts(params=params, flops=sum(by_layer.values()), layer_flops=by_layer)


def executed_flops(model: ir.Model, input_shape: tuple[int, int, int]) -> int:
    """Return the FLOPs per image that `model` executes as it stands: products with their zeros, and every addition.

    Raises:
        ModelError: a shape cannot be inferred.

    """
    proto = ir.serde.serialize_model(model)
    shapes = infer_shapes(proto, (1, *input_shape))
    additions = sum(
        (len(node.input) - 1) * math.prod(shapes.get(node.output[0], (0,)))
        for node in proto.graph.node
        if operator_of(node) in {"Add", "Sum"}
    )
    return sum(node_flops(proto, (1, *input_shape))) + additions


def _live_share(node: ir.Node, weight: np.ndarray) -> float:
    if operator_of(node) != "Conv" or weight_matrix(node) is None:
        return 1.0
    skeleton = Skeleton.from_weight(weight)
    return skeleton.live_stripes / skeleton.stripes


def _inputs(node: ir.Node, weight: np.ndarray) -> int:
    matrix = weight_matrix(node)
    return int(weight.shape[0] if matrix is None else matrix.shape[1])
