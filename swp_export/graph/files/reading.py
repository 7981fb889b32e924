"""Reading an ONNX file: the answer is a model, or one sentence that a user can act on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from swp_export.errors import ModelError
from swp_export.file_kinds import CHECKPOINTS, ONNX, kind_of, nearby
from swp_export.graph.files.content import beside_of, with_arrays, with_beside
from swp_export.graph.files.external_data import has_external_data, load_external_data
from swp_export.graph.files.soundness import require_sound
from swp_export.graph.weights_apart import light_proto
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX file that was read.

    Attributes:
        path: the file.
        sha256: of the file as it lies there, without the data that it keeps in other files.
        content: the whole model as one file, or in parts where it is too large: the file's own bytes, unless it keeps
            data in other files.
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
        wanted = nearby(path) if isinstance(error, FileNotFoundError) else ""
        raise ModelError(
            f"cannot read {path}: {error.strerror or error}{wanted or '; expected an ONNX file'}"
        ) from error
    if not content:
        raise ModelError(f"{path} is empty; expected an ONNX file")
    _require_no_other_kind(path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        proto = onnx.ModelProto.FromString(content)
        if not proto.graph.node:
            raise ModelError(f"{path} holds no graph; expected an ONNX file, this is another format or truncated")
        if _open_sizes(proto):
            content = proto.SerializeToString(deterministic=True)
        with _naming(path):
            require_sound(proto)
            if has_external_data(proto):
                content = with_beside(proto, load_external_data(proto, path.parent))
        model = _checked(proto, content)
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


def _checked(proto: onnx.ModelProto, content: bytes) -> ir.Model:
    """Return the model of `content`, which is `proto`, once ONNX's checker has seen it."""
    arrays = beside_of(content)
    if not arrays:
        onnx.checker.check_model(content)
    model = with_arrays(ir.serde.deserialize_model(proto), arrays)
    if arrays:
        onnx.checker.check_model(light_proto(model))
    return model


def _require_no_other_kind(path: Path, content: bytes) -> None:
    kind = kind_of(content)
    if kind in {None, ONNX}:
        return
    advice = f"; `swp-export prune {path}` makes one of it" if kind in CHECKPOINTS else ""
    raise ModelError(f"{path} is {kind}, expected an ONNX model{advice}")


def _open_sizes(proto: onnx.ModelProto) -> bool:
    """Leave sizes of -1 out, by which PaddlePaddle's exporter means that they are open; tell whether there were any."""
    graph, found = proto.graph, False
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value == -1:
                dim.ClearField("dim_value")
                found = True
    return found


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before the text of a ModelError that goes on after it."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path} {error}") from error.__cause__


def is_onnx(path: str | Path) -> bool:
    """Tell whether `path` is meant to be an ONNX file: by its suffix."""
    return Path(path).suffix.lower() == ".onnx"
