"""Tensors that an ONNX file keeps in other files: only in its own folder, and never more than those files hold."""

from __future__ import annotations

import dataclasses
import math
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from swp_export.errors import ModelError
from swp_export.graph.files import content
from swp_export.graph.files.attributes import graphs_of, tensors_of
from swp_export.graph.files.sound_tensors import require_sound_tensor
from swp_export.graph.weights_apart import FLOATS, LARGE
from swp_export.input_file import read_bytes, require_regular
from swp_export.memory import available_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEEDED = 6
"""Bytes of memory for each of a model that protobuf cannot hold."""


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


def load_external_data(model: onnx.ModelProto, folder: Path) -> dict[str, np.ndarray]:
    """Read all tensors of `model` from the files in `folder`, in place.

    Of a model that protobuf cannot hold, the large weights stay where they are said to be, and are returned by name.

    Raises:
        ModelError: its text goes on after the name of the file: data are missing, too short, or not in `folder`, or
            the memory is not enough.

    """
    places = [(tensor, _place(tensor, folder)) for tensor in _external_tensors(model)]
    total = model.ByteSize() + sum(place.length for _, place in places)
    apart: set[str] = set()
    if total > content.MOST_BYTES:
        _require_memory(total, {place.path: place.end_of_file for _, place in places})
        apart = {tensor.name for tensor in model.graph.initializer if _is_large_weight(tensor)}
    arrays: dict[str, np.ndarray] = {}
    for tensor, place in places:
        data = place.read()
        if tensor.name in apart:
            require_sound_tensor(tensor, len(data))
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            arrays[tensor.name] = np.frombuffer(data, dtype).reshape(tensor.dims)
            continue
        tensor.raw_data = data
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        require_sound_tensor(tensor)
    return arrays


def _is_large_weight(tensor: onnx.TensorProto) -> bool:
    """Tell whether `tensor` may be taken apart, as far as it says itself."""
    known = tensor.data_type in {each.value for each in FLOATS}
    return known and 4 * math.prod(tensor.dims) >= LARGE


def _require_memory(total: int, sizes: Mapping[Path, int]) -> None:
    if total > sum(sizes.values()) + content.MOST_BYTES:
        raise ModelError("names the same data for many tensors, more than its files hold; export it again")
    needed, free = NEEDED * total, available_memory()
    if free is not None and needed > free:
        raise ModelError(
            f"has {total / 1e9:.1f} GB of weights, for which about {needed / 1e9:.0f} GB of memory are needed; "
            f"{free / 1e9:.1f} GB are free: use a machine with more"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a tensor's data lie: bytes of a file, which has `end_of_file` of them."""

    path: Path
    offset: int
    length: int
    end_of_file: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def _place(tensor: onnx.TensorProto, folder: Path) -> _Place:
    try:
        facts = _facts(tensor)
        location = facts["location"]
        offset, length = int(facts.get("offset", 0)), int(facts["length"]) if "length" in facts else None
    except (KeyError, ValueError) as error:
        raise ModelError(f"does not say where the data of tensor {tensor.name!r} lie; export it again") from error
    path, size = _file_in(folder, location)
    end = size if length is None else offset + length
    if offset < 0 or end < offset or end > size:
        raise ModelError(
            f"keeps tensor {tensor.name!r} at bytes {offset:,} to {end:,} of {location!r}, which has "
            f"{size:,}; copy both files again"
        )
    return _Place(path=path, offset=offset, length=end - offset, end_of_file=size)


def _file_in(folder: Path, location: str) -> tuple[Path, int]:
    """Return the regular file that `location` names in `folder`, and its size."""
    inside = Path(os.path.normpath(location))
    path = folder / inside
    if "\\" in location or inside.is_absolute() or inside.drive or os.pardir in inside.parts:
        raise ModelError(f"keeps data in {location!r}, outside its own folder, which is not followed; copy it there")
    try:
        parts = [folder.joinpath(*inside.parts[:count]) for count in range(1, len(inside.parts) + 1)]
        if any(stat.S_ISLNK(part.lstat().st_mode) for part in parts):
            raise ModelError(f"keeps data behind the symbolic link {location!r}, which is not followed; copy it there")
        require_regular(path)
        with path.open("rb") as file:
            return path, os.fstat(file.fileno()).st_size
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
