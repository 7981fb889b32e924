"""Keep the layers in float32 that a plan has in float32: ONNX Runtime rounds some of them of its own accord.

    DequantizeLinear -> Conv (float weights) -> QuantizeLinear
    DequantizeLinear -> Clip -> Conv (float weights) -> QuantizeLinear

Of the first ONNX Runtime makes an integer convolution (its WeightBiasQuantization), with one scale for all filters:
the most sensitive layer, which was to stay in float32, so becomes the one that loses most. A Clip to what the integers
can hold changes nothing, and keeps the two apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import array_of, register_initializer, unique_name, value_names
from swp_export.graph.metadata import WITHIN
from swp_export.graph.operators.naming import operator_of

if TYPE_CHECKING:
    from collections.abc import Iterable

PROPAGATED = frozenset(["Relu", "Clip", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice"])
"""What may lie between such a convolution and the QuantizeLinear that ONNX Runtime pulls up to it."""


def keep_float(graph: ir.Graph) -> None:
    """Put a Clip before every convolution of `graph`, in place, that ONNX Runtime would round."""
    taken = value_names(graph)
    for node in [node for node in graph if _would_be_rounded(node)]:
        value = node.inputs[0]
        back = None if value is None else value.producer()
        assert value is not None
        assert back is not None
        ends = [
            register_initializer(graph, unique_name(f"{value.name}/{what}", taken), end)
            for what, end in zip(("lowest", "highest"), _ends(back), strict=True)
        ]
        name = unique_name(f"{value.name}/within", taken)
        clip = ir.Node("", "Clip", [value, *ends], num_outputs=1, name=name, metadata_props={WITHIN: "1"})
        clip.outputs[0].name, clip.outputs[0].type = name, ir.TensorType(ir.DataType.FLOAT)
        graph.insert_before(node, clip)
        node.replace_input_with(0, clip.outputs[0])


def _would_be_rounded(node: ir.Node) -> bool:
    if operator_of(node) != "Conv" or array_of(node.inputs[1]) is None:
        return False
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    if producer is None or operator_of(producer) != "DequantizeLinear":
        return False
    return any(_is_rounded(use.node) for use in node.outputs[0].uses())


def _is_rounded(reader: ir.Node) -> bool:
    if operator_of(reader) == "QuantizeLinear":
        return True
    readers: Iterable[ir.Node] = (use.node for value in reader.outputs for use in value.uses())
    return operator_of(reader) in PROPAGATED and any(_is_rounded(each) for each in readers)


def _ends(back: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest number that a DequantizeLinear gives, float32 scalars."""
    scale, zero = array_of(back.inputs[1]), array_of(back.inputs[2])
    assert scale is not None
    assert zero is not None
    limits = np.iinfo(zero.dtype)
    low, high = (np.float32(end - int(zero)) * np.float32(scale) for end in (limits.min, limits.max))
    return np.array(low, np.float32), np.array(high, np.float32)
