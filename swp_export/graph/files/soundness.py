"""Checks of a parsed file before anything else reads it, so that no C++ library meets numbers that make it crash.

They take time linear in the file's size. What they refuse would divide by zero, read beyond a tensor, or grow beyond
all bounds in ONNX's checker, onnx-simplifier or ONNX Runtime; what is merely invalid is left to ONNX's checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.descriptor import FieldDescriptor

from swp_export.errors import ModelError
from swp_export.graph.files.attributes import graphs_of
from swp_export.graph.files.sound_nodes import require_sound_node, require_sound_tensors
from swp_export.graph.files.sound_tensors import MOST_DIMENSIONS, require_known_type, require_sound_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

MOST_NODES = 50_000
"""Nodes once local functions are inlined: large networks have a few thousand."""
MOST_ENTRIES = 500_000
"""Parts of any kind: nodes, attributes, shapes, dimensions, names. Each costs a kilobyte once it is read."""
DEEPEST = 16
"""Graphs within graphs."""

_ONNX = {"", "ai.onnx"}


def require_sound(model: ModelProto) -> None:
    """Check what the parsed `model` says about sizes, attributes and nesting.

    Raises:
        ModelError: its text goes on after the name of the file: "has ...", "declares ...".

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
            require_sound_node(node, tensors)
            graphs += [(inner, depth + 1) for attribute in node.attribute for inner in graphs_of(attribute)]


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
        require_sound_tensors(node)
    if isinstance(graph, onnx.FunctionProto):
        return {}
    if graph.sparse_initializer:
        raise ModelError("keeps weights as sparse tensors, which are not supported; store them dense")
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor_type = value.type.tensor_type
        require_known_type(tensor_type.elem_type, f"{value.name!r}", undefined=True)
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
                pending += graphs_of(attribute)
