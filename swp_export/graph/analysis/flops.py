"""FLOPs of a model as it stands, per node: what is executed, zeros included. A multiply-add counts as 2."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.shape_inference
import onnx_ir as ir

from swp_export.errors import ModelError, SwpExportError
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shapes = Mapping[str, tuple[int, ...]]
    Fed = Sequence[int] | Mapping[str, Sequence[int]]
    """The full shape of the first input, or of each by name."""

MOST_ELEMENTS = 1 << 27
"""Of one value at batch 1. Verified in batches of 8 in float64 it takes 8 GB, what a workstation has to spare; 64
channels of 1080 x 1920 are as many."""


def node_flops(model: onnx.ModelProto, input_shape: Fed) -> list[int]:
    """Return the FLOPs of each node of `model`, in its order, for one input of `input_shape`.

    Convolutions and matrix products are counted; everything else is 0, as in the literature.

    Raises:
        ModelError: A convolution's or product's shape cannot be inferred.

    """
    shapes = infer_shapes(model, input_shape)
    if any(_counts(node) and not shapes.keys() >= {*node.input[:2], node.output[0]} for node in model.graph.node):
        shapes = _shapes_of_a_run(model, input_shape) | shapes
    return [_flops(node, shapes) for node in model.graph.node]


def infer_shapes(model: onnx.ModelProto, input_shape: Fed) -> dict[str, tuple[int, ...]]:
    """Return the shape of every value of `model` that has a static one when its inputs have `input_shape`.

    Raises:
        ModelError: A value would be too large to be computed and verified.

    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    stored = {tensor.name for tensor in fixed.graph.initializer}
    inputs = {value.name: value for value in fixed.graph.input if value.name not in stored}
    if not inputs:
        raise ModelError("the model takes no input")
    fed = input_shape if isinstance(input_shape, Mapping) else {next(iter(inputs)): input_shape}
    for name, sizes in fed.items():
        shape = inputs[name].type.tensor_type.shape
        del shape.dim[:]
        for size in sizes:
            shape.dim.add().dim_value = size
    # What the file says of later shapes may have been written for another input.
    del fixed.graph.value_info[:]
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    for name in [*fed, *(name for node in graph.node for name in node.output)]:
        require_affordable(name, shapes.get(name, ()))
    return shapes


def require_runnable(model: onnx.ModelProto, input_shape: Fed) -> None:
    """Check that no value of `model` is too large to be computed and verified for one input of `input_shape`.

    Raises:
        ModelError: One is. A model whose shapes cannot be inferred is left to the one who runs it.

    """
    with contextlib.suppress(onnx.shape_inference.InferenceError):
        infer_shapes(model, input_shape)


def require_affordable(name: str, shape: Sequence[int]) -> None:
    """Check that the value `name`, of `shape`, can be computed and verified.

    Raises:
        ModelError: It cannot.

    """
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_ELEMENTS:
        raise ModelError(
            f"value {name!r} of the model would be {list(shape)}, {math.prod(shape):,} numbers, expected at most "
            f"{MOST_ELEMENTS:,}; pass a smaller --input-shape, or export the model with smaller sizes"
        )


def _shapes_of_a_run(model: onnx.ModelProto, input_shape: Fed) -> dict[str, tuple[int, ...]]:
    """Return the shape of every value that one run in float64 gives, where inference alone does not find them all."""
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str, array: np.ndarray) -> np.ndarray:
        shapes[name] = array.shape
        return array

    with contextlib.suppress(SwpExportError):  # what no run reaches, or can, is told as what is not inferred
        program = Float64Model(ir.serde.deserialize_model(model))
        by_name = dict(input_shape if isinstance(input_shape, Mapping) else {program.inputs[0]: input_shape})
        by_name |= _static_shapes(model, {*program.inputs} - by_name.keys())
        shapes |= {name: tuple(shape) for name, shape in by_name.items()}
        program.run({name: np.zeros(shape) for name, shape in by_name.items()}, on_value=record)
    return shapes


def _static_shapes(model: onnx.ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs `names`: weights that were taken apart."""
    inputs = (value for value in model.graph.input if value.name in names)
    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in inputs}


def _counts(node: onnx.NodeProto) -> bool:
    row = OPERATORS.get(operator_of(node))
    return row is not None and row.flops is not None


def _flops(node: onnx.NodeProto, shapes: Shapes) -> int:
    row = OPERATORS.get(operator_of(node))
    if row is None or row.flops is None:
        return 0
    try:
        return row.flops(shapes[node.input[1]], shapes[node.input[0]], shapes[node.output[0]])
    except KeyError as error:
        raise ModelError(f"the shape of {error} at {node.op_type} {node.name!r} cannot be inferred") from error
