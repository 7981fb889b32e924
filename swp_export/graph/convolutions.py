"""The view from Conv nodes to StripeConvs and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of, set_input
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators import operator_of
from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir


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


def weight_of(node: ir.Node, group: int = 1) -> np.ndarray | None:
    """Return the constant weight `[N, C/group, K_h, K_w]` of a 2-D Conv `node` with plain pads, else None.

    None too where the bias is no constant, or where the node has another `group`.
    """
    if operator_of(node) != "Conv":
        return None
    groups, auto_pad = node.attributes.get("group"), node.attributes.get("auto_pad")
    if (1 if groups is None else groups.as_int()) != group:
        return None
    if auto_pad is not None and auto_pad.as_string() != "NOTSET":
        return None
    weight = array_of(node.inputs[1])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if weight is None or weight.ndim != 4 or weight.dtype.kind != "f":
        return None
    if has_bias and array_of(node.inputs[2]) is None:
        return None
    pads = node.attributes.get("pads")
    return None if pads is not None and min(pads.as_ints()) < 0 else weight


def bias_of(node: ir.Node, outputs: int) -> np.ndarray:
    """Return the constant bias `[outputs]` of a Conv or Gemm `node`; zeros where it has none."""
    bias = array_of(node.inputs[2]) if len(node.inputs) > 2 else None
    if bias is None:
        weight = array_of(node.inputs[1])
        return np.zeros(outputs, np.float32 if weight is None else weight.dtype)
    return np.broadcast_to(bias.reshape(-1), (outputs,))


def stripe_conv_from_node(node: ir.Node) -> StripeConv | None:
    """Return the StripeConv that a Conv `node` computes, or None where it is not a 2-D, group-1, constant one."""
    weight = weight_of(node)
    if weight is None:
        return None
    kernel = (weight.shape[2], weight.shape[3])
    attributes = conv_attributes(node, kernel)
    s, p, d = attributes["strides"], attributes["pads"], attributes["dilations"]
    return StripeConv(
        name=node.metadata_props.get(LAYER) or node.name or "",
        weight=weight,
        bias=bias_of(node, weight.shape[0]),
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


def set_weight(node: ir.Node, weight: np.ndarray) -> None:
    """Give a Conv or Gemm `node` the constant `weight`, in the dtype it had."""
    old = array_of(node.inputs[1])  # its value may lack a type
    assert old is not None
    set_input(node, 1, "weight", weight.astype(old.dtype))


def set_bias(node: ir.Node, bias: np.ndarray) -> None:
    """Give a Conv or Gemm `node` the constant `bias` `[N]`, in the dtype of its weight."""
    weight = node.inputs[1]
    assert weight is not None
    assert weight.dtype is not None
    set_input(node, 2, "bias", bias.astype(weight.dtype.numpy()))
