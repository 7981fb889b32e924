"""The types and shapes of a model's tensors, by ONNX's own inference alone.

What a file says of its intermediate tensors is not looked at: exporters leave statements there that contradict the
graph. Only what another domain's operator gives is not inferred, so there the file's word stands.
"""

from __future__ import annotations

import onnx
import onnx.shape_inference
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.operators import operator_of


def with_inferred_shapes(model: ir.Model, label: str) -> ir.Model:
    """Return a copy of `model` in which every tensor has the type and shape that are inferred for it.

    Raises:
        ModelError: the types of the graph contradict one another. The message calls the model `label`.

    """
    proto = ir.to_proto(model)
    foreign = {name for node in proto.graph.node if not operator_of(node) for name in node.output}
    kept = [value for value in proto.graph.value_info if value.name in foreign]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)
    for value in proto.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    try:
        inferred = ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"{label} contradicts itself: {' '.join(str(error).split())}; export it again") from error
    for output, stated in zip(inferred.graph.outputs, model.graph.outputs, strict=True):
        if _fits(stated.shape, output.shape):
            output.shape = stated.shape
    return inferred


def _fits(stated: ir.Shape | None, inferred: ir.Shape | None) -> bool:
    """Tell whether what a file states of an output, with names of its own, does not contradict what was inferred."""
    if stated is None or inferred is None:
        return inferred is None
    pairs = zip(stated, inferred, strict=False)
    fixed = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)]
    return len(stated) == len(inferred) and all(a == b for a, b in fixed)
