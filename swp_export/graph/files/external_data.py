"""Tensors that an ONNX file keeps in other files: only in its own folder, and never more than those files hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError

from swp_export.errors import ModelError
from swp_export.graph.files.attributes import graphs_of, tensors_of
from swp_export.graph.files.sound_tensors import require_sound_tensor
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 1 << 31
"""Of a whole model in memory: what protobuf can hold."""


def has_external_data(model: onnx.ModelProto) -> bool:
    """Tell whether `model` keeps tensors in other files."""
    return next(_external_tensors(model), None) is not None


def files_of(path: str | Path | None) -> list[Path]:
    """Return the files that are read with `path`, itself first: none of them may be written to.

    A file that cannot be read is returned alone; whoever reads it reports the error.
    """
    if path is None:
        return []
    path = Path(path)
    files = [path]
    if path.suffix.lower() == ".onnx":
        try:
            model = onnx.ModelProto.FromString(read_bytes(path))
            files += {path.parent / _facts(tensor)["location"] for tensor in _external_tensors(model)}
        except (OSError, ValueError, KeyError, DecodeError):
            return [path]
    return files


def load_external_data(model: onnx.ModelProto, folder: Path) -> None:
    """Read all tensors of `model` from the files in `folder`, in place.

    Raises:
        ModelError: its text goes on after the name of the file: data are missing, too short, or not in `folder`.

    """
    contents: dict[str, bytes] = {}
    total = 0
    for tensor in _external_tensors(model):
        try:
            facts = _facts(tensor)
            location = facts["location"]
            offset, length = int(facts.get("offset", 0)), int(facts["length"]) if "length" in facts else None
        except (KeyError, ValueError) as error:
            raise ModelError(f"does not say where the data of tensor {tensor.name!r} lie; export it again") from error
        if location not in contents:
            contents[location] = _content(folder, location)
        content = contents[location]
        end = len(content) if length is None else offset + length
        if offset < 0 or end < offset or end > len(content):
            raise ModelError(
                f"keeps tensor {tensor.name!r} at bytes {offset:,} to {end:,} of {location!r}, which has "
                f"{len(content):,}; copy both files again"
            )
        total += end - offset
        if total > MOST_BYTES:
            raise ModelError("with the data beside it does not make one file of at most 2 GB")
        tensor.raw_data = content[offset:end]
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        require_sound_tensor(tensor)


def _content(folder: Path, location: str) -> bytes:
    inside = Path(os.path.normpath(location))
    path = folder / inside
    if "\\" in location or inside.is_absolute() or inside.drive or os.pardir in inside.parts:
        raise ModelError(f"keeps data in {location!r}, outside its own folder, which is not followed; copy it there")
    try:
        parts = [folder.joinpath(*inside.parts[:count]) for count in range(1, len(inside.parts) + 1)]
        if any(stat.S_ISLNK(part.lstat().st_mode) for part in parts):
            raise ModelError(f"keeps data behind the symbolic link {location!r}, which is not followed; copy it there")
        return read_bytes(path)
    except OSError as error:
        raise ModelError(
            f"keeps data in {location!r}, which cannot be read: {error.strerror or error}; copy both files"
        ) from error


def _facts(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    return (tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that is stored in `model`, in graphs inside its graph and in its functions too."""
    graphs: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from tensors_of(attribute)
                graphs += graphs_of(attribute)
