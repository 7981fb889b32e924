"""float16 for CUDA, and for files of half the size: ONNX Runtime's own converter; inputs and outputs stay float32."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from swp_export.graph.files.writing import serialized

FLOAT16 = {"precision": "float16"}
"""What a plan file says of a model in float16."""


def in_float16(content: bytes) -> bytes:
    """Return a float32 model of ours in float16; the same model gives the same bytes."""
    # ONNX Runtime keeps it, with the operators that it lacks in float16 left out; it is part of the package.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = onnx.ModelProto.FromString(content)
    model = ir.serde.deserialize_model(convert_float_to_float16(proto, keep_io_types=True))
    model.graph.sort()  # it appends its Casts
    return serialized(model, dict(model.metadata_props))


def is_float16(model: ir.Model) -> bool:
    """Tell whether `model` stores numbers in float16."""
    return any(value.dtype is ir.DataType.FLOAT16 for value in model.graph.initializers.values())
