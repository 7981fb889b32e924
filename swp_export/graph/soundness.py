"""What a file may say before anything else looks at it: no C++ behind us is asked about numbers that make it crash.

Everything here is linear in the file. What it refuses would divide by zero, read beyond a tensor, or grow beyond all
bounds in ONNX's checker, onnx-simplifier or ONNX Runtime; what is merely invalid is left to ONNX's checker.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
from google.protobuf.descriptor import FieldDescriptor

from swp_export.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

MOST_NODES = 50_000
"""Nodes once local functions are inlined: large networks have a few thousand."""
MOST_ENTRIES = 500_000
"""Parts of any kind: nodes, attributes, shapes, dimensions, names. Each costs a kilobyte once it is read."""
MOST_DIMENSIONS = 64
DEEPEST = 16
"""Graphs within graphs."""
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
_PACKED = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Bits of a value that fills no byte."""


def require_sound(model: ModelProto) -> None:
    """Check what the parsed `model` says about sizes, attributes and nesting.

    Raises:
        ModelError: with a predicate about the file: "has ...", "declares ...".

    """
    _require_text(model)
    for entry in model.opset_import:
        if entry.domain in _ONNX and not 1 <= entry.version <= onnx.defs.onnx_opset_version():
            newest = onnx.defs.onnx_opset_version()
            raise ModelError(f"is of opset {entry.version}, expected 1 to {newest}; export it again")
    sizes = _inlined_sizes(model)
    graphs: list[tuple[GraphProto | FunctionProto, int]] = [(model.graph, 0), *((f, 0) for f in model.functions)]
    nodes = 0
    while graphs:
        graph, depth = graphs.pop()
        if depth > DEEPEST:
            raise ModelError(f"has graphs within graphs, more than {DEEPEST} deep; export it without control flow")
        tensors = _stored(graph)
        for node in graph.node:
            nodes += sizes.get((node.domain, node.op_type), 1)
            _few(nodes, "nodes, once its local functions are inlined" if sizes else "nodes")
            _require_sound_node(node, tensors)
            graphs += [(inner, depth + 1) for attribute in node.attribute for inner in _graphs(attribute)]


def _few(count: int, what: str, most: int = MOST_NODES) -> None:
    if count > most:
        raise ModelError(f"has more than {most:,} {what}; it is damaged, or no network that could be deployed")


def _require_text(model: ModelProto) -> None:
    """Check that all text in `model` is UTF-8, which protobuf does not, and that there are not too many parts."""
    messages: list[Message] = [model]
    parts = 0
    while messages:
        for field, value in messages.pop().ListFields():
            values = value if field.is_repeated else [value]
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                messages += values
            elif field.type == FieldDescriptor.TYPE_STRING:
                for text in values:
                    if isinstance(text, bytes):  # so protobuf gives what it cannot decode
                        raise ModelError(f"holds {text!r} as {field.name}, which is not UTF-8; it is damaged")
            else:
                continue
            parts += len(values)
            _few(parts, "parts", MOST_ENTRIES)


def _stored(graph: GraphProto | FunctionProto) -> dict[str, TensorProto]:
    """Return the tensors stored in `graph` by name, checked, and check its inputs and outputs."""
    for node in graph.node:
        _require_sound_tensors(node)
    if isinstance(graph, onnx.FunctionProto):
        return {}
    if graph.sparse_initializer:
        raise ModelError("keeps weights as sparse tensors, which are not supported; store them dense")
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor_type = value.type.tensor_type
        _require_type(tensor_type.elem_type, f"{value.name!r}", undefined=True)
        if len(tensor_type.shape.dim) > MOST_DIMENSIONS:
            raise ModelError(f"declares {value.name!r} with {len(tensor_type.shape.dim)} dimensions")
    for value in graph.input:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim if dim.HasField("dim_value")]
        if min(sizes, default=1) < 1 and not any(tensor.name == value.name for tensor in graph.initializer):
            raise ModelError(f"declares its input {value.name!r} with a dimension of {min(sizes)}, expected at least 1")
    for tensor in graph.initializer:
        require_sound_tensor(tensor)
    made = {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute
        if attribute.HasField("t")
    }
    return {tensor.name: tensor for tensor in graph.initializer} | made


def _require_type(number: int, of: str, *, undefined: bool = False) -> str:
    known = onnx.TensorProto.DataType.values()
    if number not in known or (number == onnx.TensorProto.UNDEFINED and not undefined):
        raise ModelError(f"declares {of} with data type {number}, which ONNX {onnx.__version__} does not know")
    name: str = onnx.TensorProto.DataType.Name(number)
    return name


def require_sound_tensor(tensor: TensorProto) -> None:
    """Check that `tensor` holds as many bytes as its dimensions declare.

    Raises:
        ModelError: it does not, or its type is unknown.

    """
    name = _require_type(tensor.data_type, f"tensor {tensor.name!r}")
    dims = [*tensor.dims[: MOST_DIMENSIONS + 1]]
    if len(dims) > MOST_DIMENSIONS or any(dim < 0 for dim in dims):
        raise ModelError(f"declares tensor {tensor.name!r} as {dims[:8]}, which is no shape")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    count = math.prod(dims)
    expected, found, unit = count, len(tensor.string_data), "strings"
    if tensor.data_type != onnx.TensorProto.STRING:
        if tensor.HasField("raw_data"):
            bits = _PACKED.get(name) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            expected, found, unit = -(-count * bits // 8), len(tensor.raw_data), "bytes"
        else:
            expected, found, unit = _listed(tensor, name, count)
    if expected != found:
        raise ModelError(
            f"declares tensor {tensor.name!r} as {name} {dims}, {expected:,} {unit}, and holds {found:,}; it is damaged"
        )


def _listed(tensor: TensorProto, name: str, count: int) -> tuple[int, int, str]:
    """Return how many numbers `tensor` needs and has in its list of numbers, and what they are."""
    field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    pairs = 2 if name.startswith("COMPLEX") else 1
    bits = _PACKED.get(name)
    expected = count * pairs if bits is None else -(-count * bits // 8)
    return expected, len(getattr(tensor, field)), "numbers"


def _require_sound_node(node: NodeProto, tensors: dict[str, TensorProto]) -> None:
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


def _require_sound_tensors(node: NodeProto) -> None:
    for attribute in node.attribute:
        for tensor in (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors:
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


def _graphs(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _inlined_sizes(model: ModelProto) -> dict[tuple[str, str], int]:
    """Return how many nodes each local function becomes, by domain and name.

    Raises:
        ModelError: one calls itself, or they become too many.

    """
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for key in functions:
        pending, entered = [key], set()
        while pending:
            current = pending[-1]
            called = {call for call in map(_key, _all_nodes(functions[current])) if call in functions}
            missing = called - sizes.keys()
            if current in sizes:
                pending.pop()
            elif not missing:
                sizes[current] = sum(sizes.get(_key(node), 1) for node in _all_nodes(functions[current]))
                _few(sizes[current], "nodes, once its local functions are inlined")
                pending.pop()
            elif current in entered:
                raise ModelError(f"has a local function {current[1]!r} that calls itself; ONNX allows no recursion")
            else:
                entered.add(current)
                pending += missing
    return sizes


def _key(node: NodeProto) -> tuple[str, str]:
    return node.domain, node.op_type


def _all_nodes(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """Yield the nodes of `graph` and of the graphs inside it."""
    pending = [graph]
    while pending:
        for node in pending.pop().node:
            yield node
            for attribute in node.attribute:
                pending += _graphs(attribute)
