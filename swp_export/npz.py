"""Reading one array of an .npz file; what its headers declare is checked before anything is unpacked."""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_SMALL = 64 << 20
_MOST_PER_BYTE = 20
"""What may be unpacked: so many bytes of any file, and so many for each byte of it. Images shrink to a half, masks and
padding to a tenth."""


def read_array(path: str | Path, name: str) -> tuple[list[str], npt.NDArray[Any] | None]:
    """Return the names of all arrays of the file `path`, and the array `name`, None if it is not among them.

    Raises:
        OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error: the file is
            damaged, or declares more than it holds.

    """
    data = read_bytes(path)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist()]
        if name not in names:
            return names, None
        entry = archive.infolist()[names.index(name)]
        if entry.file_size > _SMALL + _MOST_PER_BYTE * len(data):
            raise ValueError(f"{name} declares {entry.file_size:,} bytes, far more than the file holds")
        with archive.open(entry) as stream:
            content = stream.read(entry.file_size)
    return names, _array(content)


def _array(content: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(stream)
    except Exception as error:  # numpy reads a header as Python: it may raise whatever Python's parser does
        raise ValueError(f"the header of an array is damaged: {error}") from error
    held = len(content) - stream.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"an array {list(shape)} of {dtype} does not fit the {held:,} bytes that are there")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
