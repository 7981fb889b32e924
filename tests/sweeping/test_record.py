"""A sweep goes on from what it has found, and from nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from sweep_points import point

from swp_export.errors import InputError
from swp_export.sweeping.record import Record

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"source": "abc", "data": None}


def test_what_was_found_is_read_again(tmp_path: Path) -> None:
    """Points are the same, with and without accuracy; half a line, which an interruption leaves, is dropped."""
    path, points = tmp_path / "record.jsonl", [point(0.1, 10, right=90), point(0.2, 5, error=0.5)]
    record = Record(path, KEY)
    for each in points:
        record.add(each)
    with path.open("a") as file:
        file.write('{"threshold": 0.3, "live_')
    again = Record(path, KEY)
    assert list(again.points.values()) == points
    again.add(point(0.3, 1))
    assert list(Record(path, KEY).points) == [0.1, 0.2, 0.3]


def test_another_sweep_is_refused(tmp_path: Path) -> None:
    """A record of another source or other data is not mixed in, and stays as it is."""
    path = tmp_path / "record.jsonl"
    Record(path, KEY).add(point(0.1, 10))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"another sweep \(source differ"):
        Record(path, {**KEY, "source": "def"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1]\n", b"\xff\xfe", b'{"sweep": 1}\n'])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is none of ours is never overwritten."""
    path = tmp_path / "record.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="--resume"):
        Record(path, KEY)
    assert path.read_bytes() == content


def test_pipes_are_refused(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot read"):
        Record(tmp_path / "pipe", KEY)


def test_without_a_file(tmp_path: Path) -> None:
    """Without one nothing is written."""
    record = Record(None, KEY)
    record.add(point(0.1, 10))
    assert list(record.points) == [0.1]
    assert list(tmp_path.iterdir()) == []
