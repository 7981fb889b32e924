"""Checks of a node: windows are bounded, a convolution fits its weight, stated shapes are small, a Loop has an end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx

from swp_export.errors import ModelError
from swp_export.graph.files.attributes import tensors_of
from swp_export.graph.files.sound_tensors import MOST_DIMENSIONS, require_sound_tensor

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto, TensorProto

MOST_CONSTANT = 1 << 26
"""Numbers that one node makes of a shape."""
LONGEST_LOOP = 10_000
"""Turns of a Loop."""

_SMALLEST = {"strides": 1, "dilations": 1, "kernel_shape": 1, "group": 1, "blocksize": 1, "size": 1, "num_outputs": 1}
_SINGLE = {"group", "blocksize", "size", "num_outputs"}
"""Those of them that are one number."""
_LARGEST = 1 << 20
"""Of every number above, and of a pad or output_padding, which may be negative."""
_BOUNDED = {*_SMALLEST, "pads", "output_padding"}
_WINDOWED = {
    *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "MaxPool", "AveragePool", "LpPool"),
    *("MaxUnpool", "MaxRoiPool", "Col2Im", "LRN", "DepthToSpace", "SpaceToDepth", "Split", "Pad"),
}
_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_ONNX = {"", "ai.onnx"}


def require_sound_node(node: NodeProto, tensors: dict[str, TensorProto]) -> None:
    """Check the attributes of `node`, if it is one of ONNX's own operators.

    Args:
        node: of a graph or a function.
        tensors: those that the graph stores, by name.

    Raises:
        ModelError: its text goes on after the name of the file: "has ...", "makes ...".

    """
    if node.domain not in _ONNX:
        return
    _require_utf8(node)
    if node.op_type in {"ConstantOfShape", "Expand"}:
        _require_small(node, tensors)
    if node.op_type in _WINDOWED:
        for attribute in node.attribute:
            if attribute.name in _BOUNDED and not attribute.ref_attr_name:
                _require_bounded(node, attribute)
    if node.op_type in _CONVOLUTIONS:
        _require_fitting(node, tensors)
    if node.op_type == "Loop":
        _require_end(node, tensors)


def require_sound_tensors(node: NodeProto) -> None:
    """Check the tensors in the attributes of `node`, whatever operator it is.

    Raises:
        ModelError: its text goes on after the name of the file: "declares ...", "keeps ...".

    """
    for attribute in node.attribute:
        for tensor in tensors_of(attribute):
            require_sound_tensor(tensor)
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise ModelError(f"keeps a sparse tensor in {_called(node)}, which is not supported; store it dense")


def _require_utf8(node: NodeProto) -> None:
    for attribute in node.attribute:
        for text in (attribute.s, *attribute.strings):
            if not text.isascii() and "\ufffd" in text.decode(errors="replace"):
                raise ModelError(f"holds {text[:80]!r} as {attribute.name} of {_called(node)}, which is not UTF-8")


def _require_small(node: NodeProto, tensors: dict[str, TensorProto]) -> None:
    """Check a shape that the file states: ONNX Runtime computes such constants when it loads a model."""
    stated = tensors.get(node.input[-1]) if node.input else None
    if stated is None or stated.data_type != onnx.TensorProto.INT64:
        return
    shape = onnx.numpy_helper.to_array(stated).ravel()[: MOST_DIMENSIONS + 1].tolist()
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_CONSTANT:
        raise ModelError(f"makes {shape[:8]} numbers at {_called(node)}, expected at most {MOST_CONSTANT:,}")


def _require_bounded(node: NodeProto, attribute: AttributeProto) -> None:
    values = [*attribute.ints[: 2 * MOST_DIMENSIONS + 1]]
    values = [attribute.i] if attribute.name in _SINGLE or not values else values
    least = _SMALLEST.get(attribute.name, -_LARGEST)
    if len(values) > 2 * MOST_DIMENSIONS or min(values) < least or max(values) > _LARGEST:
        raise ModelError(
            f"has {attribute.name} = {values[:8]} at {_called(node)}, expected at least {least} and at most {_LARGEST}"
        )


def _require_fitting(node: NodeProto, tensors: dict[str, TensorProto]) -> None:
    """Check the attributes of a convolution against its stored weight."""
    weight = tensors.get(node.input[1]) if len(node.input) > 1 else None
    if weight is None:
        return
    dims, attributes = list(weight.dims), {attribute.name: attribute for attribute in node.attribute}
    if len(dims) < 3 or 0 in dims:
        raise ModelError(f"has a weight {dims} at {_called(node)}, expected filters, channels and a kernel")
    for name, length in (("strides", 1), ("dilations", 1), ("kernel_shape", 1), ("pads", 2)):
        values = list(attributes[name].ints) if name in attributes else []
        if values and len(values) != length * (len(dims) - 2):
            raise ModelError(f"has {name} = {values} at {_called(node)}, whose kernel has {len(dims) - 2} dimensions")
        if values and name == "kernel_shape" and values != dims[2:]:
            raise ModelError(f"has kernel_shape = {values} at {_called(node)}, whose weight is {dims}")
    group = attributes["group"].i if "group" in attributes else 1
    if dims[0] % group:
        raise ModelError(f"has group = {group} at {_called(node)}, which does not divide its weight {dims}")
    bias = tensors.get(node.input[2]) if len(node.input) > 2 else None
    filters = dims[0] if node.op_type == "Conv" else dims[1] * group
    if bias is not None and list(bias.dims) != [filters]:
        raise ModelError(f"has a bias {list(bias.dims)} at {_called(node)}, expected [{filters}]")


def _require_end(node: NodeProto, tensors: dict[str, TensorProto]) -> None:
    """Check the number of turns of a Loop, where the file states it."""
    turns = tensors.get(node.input[0]) if node.input else None
    count = None if turns is None or turns.data_type != onnx.TensorProto.INT64 else onnx.numpy_helper.to_array(turns)
    endless = not any(node.input[:2])  # neither a number of turns nor a condition; with one alone it is run to see
    if endless or (count is not None and count.size and count.max() > LONGEST_LOOP):
        found = "no end" if count is None else f"{count.max():,} turns"
        raise ModelError(f"has {found} at {_called(node)}, expected at most {LONGEST_LOOP:,} turns")


def _called(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or (node.output[0] if node.output else '')!r}"
