"""Which channels of a tensor hold a known constant, whatever the network's input.

The constants of a tensor are float64 `[C]`, NaN where a channel is not known to be constant. They start at filters with
no live stripe (the constant is the bias) and flow through every operator that acts on channels alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.errors import SwpExportError
from swp_export.graph.analysis.channels import (
    ELEMENTWISE,
    POOLS,
    UNARY,
    Channels,
    is_depthwise,
    maps_of_product,
    weight_matrix,
)
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import bias_of, conv_attributes
from swp_export.graph.float64.execution import compute
from swp_export.graph.operators import operator_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Constants = dict[ir.Value, np.ndarray]


def constant_channels(graph: ir.Graph, before_node: Callable[[ir.Node, np.ndarray], None] | None = None) -> Constants:
    """Return the constants of every tensor of `graph` that has any.

    `before_node(node, constants)` is called for each consumer of a tensor with constants (convolution or matrix
    product) before the constants of its own output are taken, so that it may rewrite the node's weight.
    """
    channels = Channels(graph)
    constants: Constants = {}
    for node in graph:
        if not channels.understands(node):
            continue
        source = constants.get(node.inputs[0]) if node.inputs[0] is not None else None
        if before_node is not None and source is not None and weight_matrix(node) is not None:
            before_node(node, source)
        result = _constants_of_output(node, constants, channels)
        if result is not None and not np.isnan(result).all():
            constants[node.outputs[0]] = result
    return constants


def taps_that_see_padding(kernel: tuple[int, int], pads: list[int], dilations: list[int]) -> np.ndarray:
    """Return bool `[K_h, K_w]`: the taps that read zero padding for some output position, at some input size.

    Tap i reads position `s*t + d*i - begin`. That is never before the first position iff `d*i >= begin`, and never
    after the last iff `d*(K-1-i) >= end`, whatever the size and the stride.
    """
    sees = []
    for axis, size in enumerate(kernel):
        offsets = dilations[axis] * np.arange(size)
        sees.append((offsets < pads[axis]) | (offsets[::-1] < pads[axis + 2]))
    return sees[0][:, None] | sees[1][None, :]


def _constants_of_output(node: ir.Node, constants: Constants, channels: Channels) -> np.ndarray | None:
    maps = maps_of_product(node)
    source = node.inputs[0] if maps is None else maps
    known = constants.get(source) if source is not None else None
    size = channels.of(source)
    if size is not None and is_depthwise(node, size.size):
        return _depthwise(node, known)
    weight = weight_matrix(node)
    if weight is not None:
        dead = ~weight.reshape(weight.shape[0], -1).any(axis=1)
        return np.where(dead, bias_of(node, weight.shape[0]).astype(np.float64), np.nan)
    if operator_of(node) == "Concat":
        parts = [_or_unknown(value, constants, channels) for value in node.inputs]
        return np.concatenate(parts)
    if operator_of(node) in ELEMENTWISE:
        return _elementwise(node, constants, channels)
    if known is None:
        return None
    if operator_of(node) in UNARY:
        return _evaluated(node, [known])
    if operator_of(node) == "Flatten":
        columns = channels.of(node.outputs[0])
        assert columns is not None
        return np.repeat(known, columns.size // known.size)
    return _pooled(node, known) if operator_of(node) in POOLS or maps is not None else None


def _or_unknown(value: ir.Value | None, constants: Constants, channels: Channels) -> np.ndarray:
    size = channels.of(value)
    assert value is not None
    assert size is not None
    return constants.get(value, np.full(size.size, np.nan))


def _depthwise(node: ir.Node, known: np.ndarray | None) -> np.ndarray:
    weight = array_of(node.inputs[1])
    assert weight is not None
    weight = weight[:, 0].astype(np.float64)
    kernel = (weight.shape[1], weight.shape[2])
    attributes = conv_attributes(node, kernel)
    sees = taps_that_see_padding(kernel, attributes["pads"], attributes["dilations"])
    source = np.full(weight.shape[0], np.nan) if known is None else known
    bias = bias_of(node, weight.shape[0]).astype(np.float64)
    constant = np.where(source == 0, bias, bias + source * weight.sum(axis=(1, 2)))
    at_borders = (weight[:, sees] != 0).any(axis=1) & (source != 0)
    constant = np.where(at_borders, np.nan, constant)
    return np.where(weight.any(axis=(1, 2)), constant, bias)


def _elementwise(node: ir.Node, constants: Constants, channels: Channels) -> np.ndarray:
    """Constants of an Add, Mul, ...; a factor that is exactly zero decides a product by itself."""
    size = channels.of(node.outputs[0])
    assert size is not None
    operands = []
    for value in node.inputs:
        array = array_of(value)
        if array is not None:
            operands.append(np.broadcast_to(array.astype(np.float64).reshape(-1), size.shape))
        else:
            operands.append(_or_unknown(value, constants, channels))
    result = _evaluated(node, operands)
    if operator_of(node) == "Mul":
        result = np.where((operands[0] == 0) | (operands[1] == 0), 0.0, result)
    return result


def _evaluated(node: ir.Node, operands: list[np.ndarray]) -> np.ndarray:
    """Run `node` in float64 on `[1, C, 1, 1]` operands; unknown where any operand is, or the result is not finite.

    All is unknown where the node cannot be run, or does not map each channel to one number.
    """
    assert isinstance(node.graph, ir.Graph)
    arrays: list[np.ndarray | None] = []
    remaining = iter(operands)
    for value in node.inputs:
        array = array_of(value)
        is_operand = value is not None and (array is None or node.op_type in ELEMENTWISE)
        arrays.append(next(remaining).reshape(1, -1, 1, 1) if is_operand else array)
    unknown = np.isnan(operands).any(axis=0)
    try:
        result = compute(node, node.graph.opset_imports, arrays)
    except SwpExportError:
        return np.full(unknown.shape, np.nan)
    if result.shape != (1, unknown.size, 1, 1):
        return np.full(unknown.shape, np.nan)
    result = result.astype(np.float64).reshape(-1)
    return np.where(unknown | ~np.isfinite(result), np.nan, result)


def _pooled(node: ir.Node, known: np.ndarray) -> np.ndarray:
    """Keep constants; of a product, and of a mean that counts zeros where its window leaves the map, only zero."""
    attributes = node.attributes
    leaves_map = (
        ("pads" in attributes and any(attributes["pads"].as_ints()))
        or ("auto_pad" in attributes and attributes["auto_pad"].as_string().startswith("SAME"))
        or ("ceil_mode" in attributes and attributes["ceil_mode"].as_int() == 1)
    )
    counts_padding = "count_include_pad" in attributes and attributes["count_include_pad"].as_int() == 1
    if operator_of(node) == "MatMul" or (operator_of(node) == "AveragePool" and leaves_map and counts_padding):
        return np.where(known == 0, known, np.nan)
    return known
