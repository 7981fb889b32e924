"""Reading a file of gates: a table `[models.NAME]` for each model, and `[defaults]` for what holds for all of them.

Its keys are the attributes of `Gates`. Paths are relative to the folder of the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from swp_export.errors import GatesError, InputError
from swp_export.gates.gates import ASKED_BY, Gates
from swp_export.input_file import read_bytes
from swp_export.runtime.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Table = dict[str, Any]

_PATHS = frozenset({"model", "against", "data", "data_path", "baseline"})
_TEXTS = _PATHS | {"device", "arch", "dataset"}
_WHOLE = frozenset({"threads", "batch", "max_bytes", "max_params", "max_flops"})
_FROM_ZERO = frozenset({"threshold", "atol", "rtol", "min_accuracy", "max_accuracy_drop"})
_POSITIVE = frozenset({"seconds", "min_speedup", "max_latency_ms"})
_INFINITE = 1e300
_KEYS = frozenset(field.name for field in dataclasses.fields(Gates)) - {"name"}


def read_gates(path: str | Path) -> tuple[Gates, ...]:
    """Return the gates of each model in the file.

    Raises:
        GatesError: it is missing, no TOML, or holds a key or value that is not known.

    """
    path = Path(path)
    document = _parsed(path)
    _refuse_unknown(document, {"defaults", "models"}, str(path), "tables")
    defaults, models = document.get("defaults", {}), document.get("models", {})
    _require_tables({"defaults": defaults, "models": models}, str(path))
    if not models:
        raise GatesError(f"{path} names no model; expected a table [models.NAME] for each, with model = 'file.onnx'")
    _require_tables({f"models.{name}": table for name, table in models.items()}, str(path))
    shared = _checked(defaults, f"{path}: [defaults]", path.parent)
    return tuple(_gates(name, shared, table, f"{path}: [models.{name}]", path.parent) for name, table in models.items())


def _parsed(path: Path) -> Table:
    try:
        return tomllib.loads(read_bytes(path).decode("utf-8"))
    except OSError as error:
        raise GatesError(f"cannot read {path}: {error.strerror or error}; expected a file of gates, in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatesError(f"{path} is no TOML: {error}") from error


def _require_tables(found: Mapping[str, object], path: str) -> None:
    for name, table in found.items():
        if not isinstance(table, dict):
            raise GatesError(f"{path}: {name} is no table; expected [models.NAME] with keys below it, or [defaults]")


def _refuse_unknown(table: Iterable[str], known: Iterable[str], where: str, what: str) -> None:
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, list(known), n=1)
            advice = f"did you mean {close[0]}?" if close else f"the {what} are {', '.join(sorted(known))}"
            raise GatesError(f"{where} has {key!r}, which is not known; {advice}")


def _gates(name: str, shared: Table, table: Table, where: str, folder: Path) -> Gates:
    values = shared | _checked(table, where, folder)
    if "model" not in values:
        raise GatesError(f"{where} names no file; expected model = 'file.onnx'")
    gates = Gates(name=name, **values)
    if not gates.asked:
        raise GatesError(f"{where} asks for nothing; expected one of {', '.join(ASKED_BY.values())}")
    missing = _missing(gates)
    if missing:
        raise GatesError(f"{where} {missing}")
    return gates


def _missing(gates: Gates) -> str | None:
    """Say what a gate lacks to be judged, None where nothing is missing."""
    if gates.min_speedup is not None and gates.baseline is None:
        return "has min_speedup but no baseline = 'file.onnx' to measure it against"
    wanted = next((key for key in ("min_accuracy", "max_accuracy_drop") if getattr(gates, key) is not None), None)
    if wanted is not None and gates.data is None and gates.dataset is None:
        return f"has {wanted} but neither data = 'file.npz' with images and labels, nor dataset"
    if gates.max_accuracy_drop is not None and gates.baseline is None and gates.against is None:
        return "has max_accuracy_drop but neither baseline nor against to measure it against"
    if (gates.atol is None) != (gates.rtol is None):
        return "has one of atol and rtol, which replace the error budget together; expected both, or neither"
    return None


def _checked(table: Table, where: str, folder: Path) -> Table:
    """Return the values of `table` as `Gates` has them.

    Raises:
        GatesError: a key is not known, or its value is not of its kind.

    """
    _refuse_unknown(table, _KEYS, where, "keys")
    return {key: _value(key, value, where, folder) for key, value in table.items()}


def _value(key: str, value: object, where: str, folder: Path) -> object:
    def refuse(expected: str) -> NoReturn:
        raise GatesError(f"{where} has {key} = {value!r}; expected {expected}")

    if key in _TEXTS:
        if not isinstance(value, str) or not value:
            refuse("text in quotes")
        if key == "device":
            _require_device(value, where)
        return folder / value if key in _PATHS else value
    if key == "input_shape":
        shape = _shape(value)
        return shape if shape is not None else refuse("sizes like [3, 32, 32], or {NAME = [3, 32, 32]}")
    if key in _WHOLE:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        return value if is_whole else refuse("a whole number from 1 on")
    assert key in _FROM_ZERO | _POSITIVE
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _INFINITE:
        refuse("a positive number" if key in _POSITIVE else "a number from 0 on")
    if not value and key in _POSITIVE:
        refuse("a positive number")
    return float(value)


def _require_device(name: str, where: str) -> None:
    try:
        Target(device=name)
    except InputError as error:
        raise GatesError(f"{where}: {error}") from error


def _shape(value: object) -> object:
    if isinstance(value, dict):
        shapes = {name: _shape(sizes) for name, sizes in value.items()}
        return shapes if shapes and all(isinstance(shape, tuple) for shape in shapes.values()) else None
    is_shape = isinstance(value, list) and all(type(size) is int and size >= 1 for size in value)
    return tuple(value) if is_shape and isinstance(value, list) else None
