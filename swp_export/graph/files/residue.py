"""Removing what must not be in a written file: shapes that are no longer true, traces of the machine that exported it.

PyTorch's exporters leave the stack trace of every node, with the paths of the machine, in its metadata or its
doc_string. Shapes between input and output are inferred by every reader; those of a file were true of other nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import onnx.shape_inference

from swp_export.graph.files.attributes import graphs_of, tensors_of
from swp_export.graph.metadata import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EXPORTERS = ("pkg.torch.", "pkg.onnxscript.")
"""What the keys of PyTorch's exporter begin with."""


def remove_residue(model: onnx.ModelProto) -> None:
    """Remove, in place, all metadata but our own and the model's, all doc_strings of what is inside, all value_info.

    The model's own doc_string and metadata, and the doc_strings of its graph, inputs and outputs, are its author's.
    """
    _keep(model.metadata_props, lambda key: not key.startswith(_EXPORTERS))
    model.graph.ClearField("metadata_props")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    _clean_body(model.graph.node)
    _clean_stored(model.graph)
    for function in model.functions:
        function.ClearField("doc_string")
        function.ClearField("metadata_props")
        function.ClearField("value_info")
        _clean_body(function.node)


def state_true_shapes(model: onnx.ModelProto) -> None:
    """State in `model`, in place, the shapes that follow from its nodes: of its outputs where its own contradict them.

    Those of the values in between are for who looks at the file, and never of weights: each size is a number, a name of
    an input's, or open.
    """
    stated = [onnx.TensorShapeProto.FromString(_shape(value).SerializeToString()) for value in model.graph.output]
    named = [value.type.tensor_type.HasField("shape") for value in model.graph.output]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    names = {dim.dim_param for value in model.graph.input for dim in _shape(value).dim if dim.dim_param}
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value, own, has_own, found in zip(model.graph.output, stated, named, inferred.output, strict=True):
        known = found.type.tensor_type.HasField("shape")
        true = own if has_own and not (known and _contradict(own, _shape(found), names)) else _shape(found)
        if has_own or known:
            _shape(value).SetInParent()  # a scalar's shape is there and empty
            _shape(value).CopyFrom(true)
    given = {name for node in model.graph.node for name in node.output} - {value.name for value in model.graph.output}
    for value in inferred.value_info:
        if value.name in given and value.type.tensor_type.HasField("shape"):
            for dim in _shape(value).dim:
                if dim.dim_param and dim.dim_param not in names:  # one that the inference made up
                    dim.ClearField("dim_param")
            model.graph.value_info.append(value)


def _shape(value: onnx.ValueInfoProto) -> onnx.TensorShapeProto:
    return value.type.tensor_type.shape


def _contradict(own: onnx.TensorShapeProto, found: onnx.TensorShapeProto, names: set[str]) -> bool:
    """Tell whether `own` has another rank or size than `found`, or one size where `found` has an input's, by name."""
    return len(own.dim) != len(found.dim) or any(
        a.HasField("dim_value") and (b.dim_value != a.dim_value if b.HasField("dim_value") else b.dim_param in names)
        for a, b in zip(own.dim, found.dim, strict=True)
    )


def _clean_body(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        node.ClearField("doc_string")
        _keep(node.metadata_props, lambda key: key.startswith(OURS))
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            for tensor in tensors_of(attribute):
                _clean_tensor(tensor)
            for graph in graphs_of(attribute):
                _clean_inner(graph)


def _clean_inner(graph: onnx.GraphProto) -> None:
    """Clean a branch or a loop's body: its inputs and outputs are values like any other, their shapes are inferred."""
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    for value in (*graph.input, *graph.output):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    _clean_body(graph.node)
    _clean_stored(graph)


def _clean_stored(graph: onnx.GraphProto) -> None:
    # Weights among them too: a tool that replaces a weight by another shape, as onnxruntime's quantisation does with a
    # Gemm's, would leave them wrong.
    graph.ClearField("value_info")
    for tensor in graph.initializer:
        _clean_tensor(tensor)


def _clean_tensor(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("doc_string")
    tensor.ClearField("metadata_props")


def _keep(properties: Any, wanted: Callable[[str], bool]) -> None:
    """Remove the entries of a repeated field of metadata whose key is not `wanted`."""
    kept = [(entry.key, entry.value) for entry in properties if wanted(entry.key)]
    del properties[:]
    for key, value in kept:
        properties.add(key=key, value=value)
