"""Convolutions of a graph, and the view from Conv nodes to StripeConvs and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.graph.metadata import LAYER, PART_OF
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import weights_of
from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from swp_export.graph.operators.weights import Weights


def iterate_convolutions(graph: ir.Graph) -> Iterator[tuple[ir.Node, Weights]]:
    """Yield every convolution with constant weights, of any kind and rank, in execution order."""
    for node in graph:
        weights = weights_of(node)
        if weights is not None and weights.has_stripes:
            yield node, weights


def layer_name(node: ir.Node) -> str:
    """Return what the layer of `node` is called: as in the checkpoint, else as the node, or what it gives."""
    stated = node.metadata_props.get(PART_OF) or node.metadata_props.get(LAYER)
    return stated or node.name or node.outputs[0].name or ""


def kind_of(node: ir.Node, weights: Weights) -> str | None:
    """Return what kind of convolution `node` is, where it is none that a StripeConv can say."""
    if operator_of(node) != "Conv":
        return "transposed"
    if PART_OF in node.metadata_props:
        return "grouped"
    if weights.group > 1:
        return "depthwise" if weights.weight.shape[1] == 1 else "grouped"
    rank = weights.weight.ndim - 2
    return None if rank == 2 else f"{rank}-D"


def conv_attributes(node: ir.Node, kernel: tuple[int, int]) -> dict[str, list[int]]:
    """Return `strides`, `pads` and `dilations` of a 2-D Conv `node` with ONNX's defaults; auto_pad must be NOTSET."""

    def ints(name: str, default: list[int]) -> list[int]:
        attribute = node.attributes.get(name)
        return default if attribute is None else [int(v) for v in attribute.as_ints()]

    rank = len(kernel)
    return {
        "strides": ints("strides", [1] * rank),
        "pads": ints("pads", [0] * 2 * rank),
        "dilations": ints("dilations", [1] * rank),
    }


def stripe_conv_from_node(node: ir.Node) -> StripeConv | None:
    """Return the StripeConv that a Conv `node` computes, or None where it is not a 2-D, group-1, constant one."""
    weights = weights_of(node) if operator_of(node) == "Conv" else None
    if weights is None or weights.group != 1 or weights.weight.ndim != 4:
        return None
    kernel = (weights.weight.shape[2], weights.weight.shape[3])
    attributes = conv_attributes(node, kernel)
    s, p, d = attributes["strides"], attributes["pads"], attributes["dilations"]
    return StripeConv(
        name=node.metadata_props.get(LAYER) or node.name or "",
        weight=weights.weight,
        bias=weights.biases(),
        strides=(s[0], s[1]),
        pads=(p[0], p[1], p[2], p[3]),
        dilations=(d[0], d[1]),
    )


def iterate_stripe_convs(graph: ir.Graph) -> Iterator[tuple[ir.Node, StripeConv]]:
    """Yield the group-1 convolutions of `graph` in execution order."""
    for node in graph:
        conv = stripe_conv_from_node(node)
        if conv is not None:
            yield node, conv
