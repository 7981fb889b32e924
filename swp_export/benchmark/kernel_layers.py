"""Which layer of the checkpoint a kernel of the optimised graph belongs to.

ONNX Runtime fuses, renames and inserts nodes, and drops their metadata. Two things lead back: a value keeps its name,
unless it was fused away; and a node that was fused, or moved to another layout, is named after the node or the value
that it comes from:

    Conv "features.0/conv" -> h,  Relu -> r     becomes     Conv "r_nchwc" -> reorder_token_1
    in float16, which is computed in float32    becomes     Conv "InsertedPrecisionFreeCast_r_nchwc" -> ...
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swp_export.graph.metadata import LAYER

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir

OTHER = "(other)"
_DERIVED = re.compile(r"^Inserted(?:PrecisionFree)?Cast_|(?:_nchwc|_nhwc|_token_\d+)$")
_WEIGHTED = ("Conv", "Gemm", "MatMul")
# Nodes that ONNX Runtime inserts; the value they give has the name of the original that they move.
_INSERTED = {"ReorderInput", "ReorderOutput", "MemcpyToHost", "MemcpyFromHost"}


def layers_of_nodes(graph: ir.Graph) -> dict[ir.Node, str]:
    """Return the layer of each node of `graph`, in its order; `OTHER` where nothing says it.

    A node's metadata says it; in a dense model the name of a convolution or product is its layer's; and a node
    `<layer>/<operator>` belongs to that layer, if there is such a layer.
    """
    stated = {node: _stated_layer(node) for node in graph}
    known = set(stated.values())
    return {
        node: layer or next((prefix for prefix in _prefixes(node.name or "") if prefix in known), OTHER)
        for node, layer in stated.items()
    }


def layers_of_kernels(original: ir.Graph, optimized: ir.Graph) -> dict[str, str]:
    """Return the layer of each node, by name, of `optimized`: what ONNX Runtime made of `original`.

    A node that was inserted (a change of layout, a cast) belongs to the layer that needs its result, or, where that
    is none, to the one that made its input: the layer's lowering is why it is there.
    """
    origins = _Origins(original)
    layers = {node: origins.layer(node) for node in optimized}
    # Each in the direction in which the second of two inserted nodes in a row finds the first one settled.
    for node in reversed(optimized):
        if layers[node] is None:
            layers[node] = _layer_among(layers[other] for other in node.successors())
    for node in optimized:
        if layers[node] is None:
            layers[node] = _layer_among(layers[other] for other in node.predecessors())
    return {node.name or "": layer or OTHER for node, layer in layers.items()}


class _Origins:
    """Finds the node of the original graph that a node of the optimised one comes from."""

    def __init__(self, graph: ir.Graph) -> None:
        self._layers = layers_of_nodes(graph)
        self._by_name = {node.name: node for node in graph if node.name}
        self._by_output = {value.name: node for node in graph for value in node.outputs if value.name}

    def layer(self, node: ir.Node) -> str | None:
        """Return the layer of `node`, `OTHER` if its origin has none, None if it has no origin."""
        stated = node.metadata_props.get(LAYER)
        origin = self._origin(node)
        if stated is not None or origin is None:
            return stated
        return self._layers[_weighted(node, origin)]

    def _origin(self, node: ir.Node) -> ir.Node | None:
        if node.op_type in _INSERTED or (node.op_type == "Cast" and node.name not in self._by_name):
            return None
        # By name first: the output of a fused node is that of the last operator fused into it.
        for name in (node.name or "", _DERIVED.sub("", node.name or "")):
            if origin := self._by_name.get(name) or self._by_output.get(name):
                return origin
        outputs = (self._by_output.get(_DERIVED.sub("", value.name or "")) for value in node.outputs)
        return next(filter(None, outputs), None)


def _weighted(node: ir.Node, origin: ir.Node) -> ir.Node:
    """Return the convolution or product that `node` is, where it is named after an operator fused into it."""
    kind = next((kind for kind in _WEIGHTED if kind in node.op_type), None)
    found: ir.Node | None = origin
    while kind is not None and found is not None and found.op_type != kind:
        found = next(iter(found.predecessors()), None)
    return found or origin


def _stated_layer(node: ir.Node) -> str | None:
    stated = node.metadata_props.get(LAYER)
    if stated is None and node.op_type in _WEIGHTED and node.name:
        # "features.3" in a dense model, "features.3/conv" in a lowered one whose metadata somebody dropped.
        return node.name.rpartition("/")[0] or node.name
    return stated


def _prefixes(name: str) -> list[str]:
    """Return `a/b`, `a` for "a/b/c", the longest first."""
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]


def _layer_among(layers: Iterable[str | None]) -> str | None:
    return next((layer for layer in layers if layer not in {None, OTHER}), None)
