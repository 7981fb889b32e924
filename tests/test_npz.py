"""Arrays of .npz files that others made."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from swp_export.npz import read_array

GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"


def written(folder: Path, header: str, content: bytes = bytes(8)) -> Path:
    """Write an archive of one array with `header`."""
    array = io.BytesIO()
    text = header.encode()
    array.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("images.npy", array.getvalue())
    return folder / "a.npz"


def test_an_array(tmp_path: Path) -> None:
    """A sound header gives its array, and the names say what else there is."""
    names, array = read_array(written(tmp_path, GOOD), "images")
    assert names == ["images"]
    assert np.array_equal(array, np.zeros(2, np.float32))
    assert read_array(tmp_path / "a.npz", "labels") == (["images"], None)


@pytest.mark.parametrize("header", ["(", "(" * 3000, "{'descr': ", "{'descr': 'no'}", "\x00", "[]", GOOD[:-1], "1e999"])
def test_headers_that_are_no_python(header: str, tmp_path: Path) -> None:
    """Whatever numpy makes of a header, a damaged one is a ValueError."""
    with pytest.raises(ValueError, match="header of an array is damaged"):
        read_array(written(tmp_path, header), "images")


def test_more_than_there_is(tmp_path: Path) -> None:
    """A shape that declares more than the bytes behind it is refused before anything is made of it."""
    with pytest.raises(ValueError, match="does not fit the 8 bytes"):
        read_array(written(tmp_path, GOOD.replace("(2,)", "(1000000000,)")), "images")
