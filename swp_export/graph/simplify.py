"""Normalise a model with onnx-simplifier, and mark each convolution with its layer's name and its filters."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from swp_export.graph.convolutions import iterate_convolutions, kind_of
from swp_export.graph.files.content import hold_arrays
from swp_export.graph.metadata import FILTERS, LAYER, encode_filters
from swp_export.graph.passes.canonicalise_flatten import CanonicaliseFlatten
from swp_export.graph.passes.drop_expand import DropExpand
from swp_export.graph.passes.fold_batch_norm import FoldBatchNorm
from swp_export.graph.passes.gather_shuffle import GatherShuffle
from swp_export.graph.passes.state_sizes import StateSizes
from swp_export.graph.weights_apart import put_weights, without_weights
from swp_export.isolated import isolated

CANONICAL_FORM = ir.passes.Sequential(
    StateSizes(), CanonicaliseFlatten(), GatherShuffle(), DropExpand(), RemoveUnusedNodesPass()
)
"""What is written in several ways, in the one way in which the channels can be followed."""


def simplify(model: ir.Model) -> ir.Model:
    """Return `model` with constants folded, BatchNorm merged into the convolutions before it, and in CANONICAL_FORM.

    It drops node metadata but keeps node names, so the layers' names travel as those.

    Raises:
        ModelError: onnx-simplifier cannot process the model, or crashes on it.

    """
    folded = FoldBatchNorm()(model.clone()).model
    light, weights = without_weights(folded)
    proto = onnx.ModelProto.FromString(isolated("simplify", ir.to_proto(light).SerializeToString()))
    simplified = ir.serde.deserialize_model(proto)
    put_weights(simplified, weights)
    hold_arrays(simplified)
    _mark_layers(simplified.graph)
    return CANONICAL_FORM(simplified).model


def _mark_layers(graph: ir.Graph) -> None:
    taken: set[str] = set()
    for number, (node, weights) in enumerate(iterate_convolutions(graph)):
        name = node.name or f"conv{number}"
        while name in taken:
            name += "_again"
        taken.add(name)
        node.name = name
        node.metadata_props[LAYER] = name
        if kind_of(node, weights) is None:
            node.metadata_props[FILTERS] = encode_filters(np.ones(weights.filters, bool))
