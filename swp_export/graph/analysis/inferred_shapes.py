"""The types and shapes of a model's tensors, by ONNX's own inference alone.

What a file says of its intermediate tensors is not looked at: exporters leave statements there that contradict the
graph. Only what another domain's operator gives is not inferred, so there the file's word stands.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.weights_apart import put_weights, without_weights
from swp_export.isolated import isolated


def with_inferred_shapes(model: ir.Model, label: str) -> ir.Model:
    """Return a copy of `model` in which every tensor has the type and shape that are inferred for it.

    Raises:
        ModelError: the types of the graph contradict one another. The message calls the model `label`.

    """
    light, weights = without_weights(model)
    proto = ir.to_proto(light)
    foreign = {name for node in proto.graph.node if not operator_of(node) for name in node.output}
    kept = [value for value in proto.graph.value_info if value.name in foreign]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)
    computed = {name for node in proto.graph.node for name in node.output}
    for value in proto.graph.output:
        if value.name in computed and value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    try:
        inferred = ir.serde.deserialize_model(
            onnx.ModelProto.FromString(isolated("infer_shapes", proto.SerializeToString()))
        )
    except ModelError as error:
        raise ModelError(f"{label} contradicts itself: {error}; export it again") from error
    put_weights(inferred, weights)
    dims = (dim for value in inferred.graph.inputs for dim in value.shape or ())
    taken = {dim.value for dim in dims if isinstance(dim, ir.SymbolicDim)}
    for output, stated in zip(inferred.graph.outputs, model.graph.outputs, strict=True):
        output.shape = _named(output.shape, stated.shape, taken)
    return inferred


def _named(inferred: ir.Shape | None, stated: ir.Shape | None, taken: set[str | None]) -> ir.Shape | None:
    """Return what was inferred of an output, its open sizes under the names that the file states.

    Not where that is the name of an input's size (`taken`): equal names mean equal sizes, and that is the file's word.
    """
    if inferred is None or stated is None or len(stated) != len(inferred):
        return stated if inferred is None else inferred
    dims: list[int | ir.SymbolicDim] = []
    for found, said in zip(inferred, stated, strict=True):
        known = isinstance(found, int) or found.value in taken - {None}
        dims.append(found if known or isinstance(said, int) or said.value in taken else said)
    return ir.Shape(dims)
