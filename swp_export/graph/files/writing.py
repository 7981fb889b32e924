"""Writing a model as a file of ours: clean, checked, and the same bytes for the same model."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx.shape_inference
import onnx_ir as ir

from swp_export.atomic import atomic_outputs
from swp_export.errors import ModelError
from swp_export.graph.files.content import beside_of, file_content, write_parts
from swp_export.graph.files.residue import remove_residue, state_true_shapes
from swp_export.graph.metadata import VERSION
from swp_export.graph.weights_apart import without_weights

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping, Sequence


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
    light, weights = without_weights(model)
    proto = ir.serde.serialize_model(light)
    remove_residue(proto)
    state_true_shapes(proto)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model's shapes contradict one another: {' '.join(str(error).split())}") from error
    return file_content(proto, weights)


def write_model(
    content: bytes,
    temporary: Path,
    target: str | Path,
    *,
    outputs: contextlib.ExitStack,
    inputs: Sequence[str | Path | None],
    force: bool,
) -> bytes:
    """Write `content` to `temporary`, which becomes `target`, and return what is written there.

    What protobuf cannot hold becomes `target`.data, one more file that is there with the others or not at all.

    Args:
        content: of `serialized`.
        temporary: one that `atomic_outputs` gave.
        target: the file's name.
        outputs: what was entered of `atomic_outputs`.
        inputs: other files that must not be written to.
        force: overwrite that other file.

    Raises:
        OutputError: as `atomic_outputs`.

    """
    if not beside_of(content):
        temporary.write_bytes(content)
        return content
    final = Path(os.path.realpath(target))
    data = final.with_name(f"{final.name}.data")
    (beside,) = outputs.enter_context(atomic_outputs(data, inputs=(*inputs, target), force=force))
    assert beside is not None
    return write_parts(content, temporary, beside, data.name)
