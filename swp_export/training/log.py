"""The record of a training, one JSON document per epoch."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from swp_export.errors import InputError
from swp_export.input_file import read_bytes
from swp_export.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST_STRIPES = 1 << 31
_LARGEST = 1e300
_NUMBERS = ("loss", "accuracy", "test_loss", "test_accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class TrainingLog(Shown):
    """The epochs of a training.

    Attributes:
        file: Path of the log.
        epochs: One record each: `epoch`, `lr`, `loss`, `accuracy` (percent), `test_loss`, `test_accuracy`,
            `live_stripes` (layer -> number), `seconds`.

    """

    file: str
    epochs: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `inspect --json` prints."""
        return {"file": self.file, "kind": "training log", "epochs": list(self.epochs)}


def read_log(path: str | Path) -> TrainingLog:
    """Read the `log.jsonl` that `train` writes.

    Raises:
        InputError: It cannot be read, or is not such a log.

    """
    try:
        lines = read_bytes(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not lines:
        raise InputError(f"{path} is empty; expected a line per epoch, as `train` writes them")
    return TrainingLog(
        file=str(path), epochs=tuple(record_from_line(path, n, line) for n, line in enumerate(lines, start=1))
    )


def record_from_line(path: str | Path, number: int, line: str) -> Mapping[str, Any]:
    """Return the record of an epoch that `line`, the one with this number, holds.

    Raises:
        InputError: It holds none.

    """
    try:
        record = json.loads(line, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        record = None
    live = record.get("live_stripes") if isinstance(record, dict) else None
    if not isinstance(live, dict) or not all(isinstance(n, int) and 0 <= n <= _MOST_STRIPES for n in live.values()):
        raise InputError(f"line {number} of {path} is not a record of an epoch, as `train` writes them")
    if missing := [key for key in _NUMBERS if not _is_number(record.get(key))]:
        raise InputError(f"line {number} of {path} lacks {', '.join(missing)}; expected what `train` writes")
    return dict(record)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _is_number(value: object) -> bool:
    """Tell whether `value` is finite and fits a float: JSON's integers may have any length."""
    return isinstance(value, float | int) and abs(value) < _LARGEST and math.isfinite(value)
