"""What a sweep has found so far, in a file from which it goes on: one JSON document a line, the first says of what."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swp_export.atomic import atomic_write
from swp_export.errors import InputError
from swp_export.input_file import read_bytes
from swp_export.sweeping.point import SweepPoint, point_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class Record:
    """The points of a sweep by their threshold.

    Args:
        path: the file, made if it is not there; None keeps nothing.
        key: what the points depend on.

    Raises:
        InputError: the file cannot be read, or is of another sweep.
        OutputError: it cannot be written.

    """

    def __init__(self, path: str | Path | None, key: Mapping[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self.points: dict[float, SweepPoint] = {}
        if self._path is None:
            return
        known = _read(self._path, key) if self._path.exists() else []
        self.points = {point.threshold: point for point in known if point.threshold is not None}
        with atomic_write(self._path, force=True) as file:  # anew: the last line may be half a one
            file.write_text("".join(map(_line, [{"sweep": key}, *(point.to_json() for point in known)])))

    def add(self, point: SweepPoint) -> None:
        """Keep `point`."""
        assert point.threshold is not None
        self.points[point.threshold] = point
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(point.to_json()))
                file.flush()
                os.fsync(file.fileno())


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document) + "\n"


def _read(path: Path, key: Mapping[str, Any]) -> list[SweepPoint]:
    try:
        first, *rest = read_bytes(path).decode().splitlines()
        found = json.loads(first)["sweep"]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no record of a sweep; name another file for --resume") from error
    if found != json.loads(json.dumps(key)):
        other = isinstance(found, dict) and [name for name in key if found.get(name) != key[name]]
        raise InputError(
            f"{path} is of another sweep ({', '.join(other or ['damaged'])} differ); go on with the same options, or "
            "name another file for --resume"
        )
    points = []
    for line in rest:
        try:
            points.append(point_from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, RecursionError):
            break  # cut off while it was written
    return points
