"""Writing a model as a file of ours: clean, checked, and the same bytes for the same model."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import onnx
import onnx.shape_inference
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.files.residue import remove_residue, state_true_shapes
from swp_export.graph.metadata import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping


def serialized(model: ir.Model, facts: Mapping[str, str]) -> bytes:
    """Return the bytes of `model` as a file of ours, checked: the same model gives the same bytes.

    Args:
        model: any model; its metadata is replaced, its doc_string kept.
        facts: what it says of itself, by the keys of `metadata`.

    Raises:
        ModelError: its nodes contradict one another.

    """
    model.metadata_props.clear()
    model.metadata_props.update({**facts, VERSION: version("swp-export")})
    model.producer_name, model.producer_version = "swp-export", version("swp-export")
    proto = ir.serde.serialize_model(model)
    remove_residue(proto)
    state_true_shapes(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(content, full_check=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model's shapes contradict one another: {' '.join(str(error).split())}") from error
    return content
