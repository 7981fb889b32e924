"""ONNX files: reading one with an answer a user can act on, and what our own say about themselves."""

from __future__ import annotations

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from swp_export.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

INPUT_SHAPE = "swp_export.input_shape"
"""Model metadata: the shape of one input, `C,H,W`."""
THRESHOLD = "swp_export.threshold"
"""Model metadata: the threshold that decided which stripes are live."""
ARCHITECTURE = "swp_export.architecture"
"""Model metadata: the name of the architecture the checkpoint was read as."""
SOURCE = "swp_export.source_sha256"
"""Model metadata: SHA-256 of the file that the model was made from."""
VERSION = "swp_export.version"
"""Model metadata: the version of swp-export that wrote the model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX file that was read: its path, the SHA-256 of its bytes, and the model."""

    path: Path
    sha256: str
    model: ir.Model


def read_model(path: str | Path) -> OnnxFile:
    """Read and check an ONNX file.

    Raises:
        ModelError: it is missing, empty, truncated, not ONNX, or breaks ONNX's rules.

    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; expected an ONNX file") from error
    if not content:
        raise ModelError(f"{path} is empty; expected an ONNX file")
    try:
        proto = onnx.ModelProto.FromString(content)
        if not proto.graph.node:
            raise ModelError(f"{path} holds no graph; expected an ONNX file, this is another format or truncated")
        onnx.checker.check_model(proto)
    except DecodeError as error:
        raise ModelError(f"{path} is no ONNX file, or truncated; export it again") from error
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path} breaks ONNX's rules: {' '.join(str(error).split())}") from error
    return OnnxFile(path=path, sha256=hashlib.sha256(content).hexdigest(), model=ir.serde.deserialize_model(proto))


def serialized(model: ir.Model, facts: Mapping[str, str]) -> bytes:
    """Return the bytes of `model` as a file of ours, checked: the same model gives the same bytes.

    Args:
        model: any model; its metadata is replaced.
        facts: what it says of itself, by the names above.

    """
    model.metadata_props.clear()
    model.metadata_props.update({**facts, VERSION: version("swp-export")})
    model.producer_name, model.producer_version, model.doc_string = "swp-export", version("swp-export"), None
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape, value.type = None, None  # inferred by every reader, and stale after lowering
    content: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    onnx.checker.check_model(content, full_check=True)
    return content


def is_onnx(path: str | Path) -> bool:
    """Tell whether `path` is meant to be an ONNX file: by its suffix."""
    return Path(path).suffix.lower() == ".onnx"


def input_shape_of(model: ir.Model) -> tuple[int, int, int] | None:
    """Return `(C, H, W)` of the model's first input: by its metadata, else by its own static dimensions, else None."""
    text = model.metadata_props.get(INPUT_SHAPE)
    if text is not None:
        channels, height, width = (int(part) for part in text.split(","))
        return channels, height, width
    shape = next((value.shape for value in model.graph.inputs if not value.is_initializer()), None)
    if shape is None or len(shape) != 4:
        return None
    static = [dim for dim in shape[1:] if isinstance(dim, int)]
    return (static[0], static[1], static[2]) if len(static) == 3 else None
