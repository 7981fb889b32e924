"""ONNX files: reading one with an answer a user can act on, and what our own say about themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx.shape_inference
import onnx_ir as ir
from google.protobuf.message import DecodeError, EncodeError

from swp_export.errors import ModelError
from swp_export.graph.external_data import has_external_data, load_external_data
from swp_export.graph.residue import remove_residue, state_true_outputs
from swp_export.graph.soundness import require_sound
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INPUT_SHAPE = "swp_export.input_shape"
"""Model metadata: the shape of one input, `C,H,W`."""
THRESHOLD = "swp_export.threshold"
"""Model metadata: the threshold that decided which stripes are live."""
RELATIVE_THRESHOLD = "swp_export.relative_threshold"
"""Model metadata: the share of a layer's largest stripe norm at which stripes of the ONNX source were set to zero."""
ARCHITECTURE = "swp_export.architecture"
"""Model metadata: the name of the architecture the checkpoint was read as."""
SOURCE = "swp_export.source_sha256"
"""Model metadata: SHA-256 of the file that the model was made from."""
BLOCK = "swp_export.block"
"""Model metadata: what channels and rows were filled up to."""
VERSION = "swp_export.version"
"""Model metadata: the version of swp-export that wrote the model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX file that was read.

    Attributes:
        path: the file.
        sha256: of the file as it lies there, without the data that it keeps in other files.
        content: the whole model as one file: the file's own bytes, unless it keeps data in other files.
        model: what `content` says.

    """

    path: Path
    sha256: str
    content: bytes
    model: ir.Model


def read_model(path: str | Path) -> OnnxFile:
    """Read and check an ONNX file, and the files beside it in which it keeps data.

    Raises:
        ModelError: it is missing, empty, truncated, not ONNX, or breaks ONNX's rules, or data beside it is missing.

    """
    path = Path(path)
    try:
        content = read_bytes(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; expected an ONNX file") from error
    if not content:
        raise ModelError(f"{path} is empty; expected an ONNX file")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        proto = onnx.ModelProto.FromString(content)
        if not proto.graph.node:
            raise ModelError(f"{path} holds no graph; expected an ONNX file, this is another format or truncated")
        with _naming(path):
            require_sound(proto)
        if has_external_data(proto):
            content = _with_external_data(proto, path)
        onnx.checker.check_model(content)
        model = ir.serde.deserialize_model(proto)
    except DecodeError as error:
        raise ModelError(f"{path} is no ONNX file, or truncated; export it again") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} holds a name that is not UTF-8; it is damaged: export it again") from error
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path} breaks ONNX's rules: {' '.join(str(error).split())}") from error
    except (ir.serde.SerdeError, ValueError, TypeError, KeyError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise ModelError(f"{path} is damaged, onnx-ir cannot read it: {' '.join(str(cause).split())}") from error
    return OnnxFile(path=path, sha256=sha256, content=content, model=model)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what it is or has."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path} {error}") from error.__cause__


def serialized(model: ir.Model, facts: Mapping[str, str]) -> bytes:
    """Return the bytes of `model` as a file of ours, checked: the same model gives the same bytes.

    Args:
        model: any model; its metadata is replaced, its doc_string kept.
        facts: what it says of itself, by the names above.

    Raises:
        ModelError: its nodes contradict one another.

    """
    model.metadata_props.clear()
    model.metadata_props.update({**facts, VERSION: version("swp-export")})
    model.producer_name, model.producer_version = "swp-export", version("swp-export")
    proto = ir.serde.serialize_model(model)
    remove_residue(proto)
    state_true_outputs(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(content, full_check=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the model's shapes contradict one another: {' '.join(str(error).split())}") from error
    return content


def is_onnx(path: str | Path) -> bool:
    """Tell whether `path` is meant to be an ONNX file: by its suffix."""
    return Path(path).suffix.lower() == ".onnx"


def input_shape_of(model: ir.Model, label: str = "the model") -> tuple[int, int, int] | None:
    """Return `(C, H, W)` of the model's first input: by its metadata, else by its own static dimensions, else None.

    Raises:
        ModelError: the metadata is damaged; the message calls the model `label`.

    """
    stated = stated_input_shape(model.metadata_props, label)
    if stated is not None:
        return stated
    shape = next((value.shape for value in model.graph.inputs if not value.is_initializer()), None)
    if shape is None or len(shape) != 4:
        return None
    static = [dim for dim in shape[1:] if isinstance(dim, int)]
    return (static[0], static[1], static[2]) if len(static) == 3 else None


def stated_input_shape(metadata: Mapping[str, str], label: str = "the model") -> tuple[int, int, int] | None:
    """Return `(C, H, W)` as a model's `metadata` says, or None if it does not.

    Raises:
        ModelError: what it says is no shape; the message calls the model `label`.

    """
    text = metadata.get(INPUT_SHAPE)
    if text is None:
        return None
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != 3 or min(sizes) < 1:
        raise ModelError(
            f"{label} records {INPUT_SHAPE} = {text!r}, expected three positive numbers C,H,W; write the model again, "
            "or pass --input-shape C,H,W"
        )
    return sizes[0], sizes[1], sizes[2]


def threshold_of(model: ir.Model, label: str = "the model", key: str = THRESHOLD) -> float | None:
    """Return the threshold that the model's metadata records under `key`, or None if there is none.

    Raises:
        ModelError: what is recorded is no threshold; the message calls the model `label`.

    """
    text = model.metadata_props.get(key)
    if text is None:
        return None
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold < math.inf:
        raise ModelError(
            f"{label} records {key} = {text!r}, expected a number of at least 0; write the model again, or pass "
            "--threshold F"
        )
    return threshold


def _with_external_data(proto: onnx.ModelProto, path: Path) -> bytes:
    """Read the data beside the file `path` into `proto`, its content, and return that as one file."""
    with _naming(path):
        load_external_data(proto, path.parent)
    try:
        content: bytes = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path} with the data beside it does not make one file of at most 2 GB: {reason}") from error
    return content
