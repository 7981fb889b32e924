"""A file of gates says what is asked for, and what is wrong with it is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from swp_export.errors import GatesError
from swp_export.gates.gates_file import read_gates


def written(folder: Path, text: str) -> Path:
    """Write a file of gates."""
    (folder / "gates.toml").write_text(text, encoding="utf-8")
    return folder / "gates.toml"


def test_defaults_hold_unless_a_model_says_otherwise(tmp_path: Path) -> None:
    """Models come in the order of the file, paths count from its folder, whole numbers do for others."""
    first, second = read_gates(
        written(
            tmp_path,
            """
            [defaults]
            max_bytes = 1_000
            data = "test.npz"
            [models.b]
            model = "sub/b.onnx"
            max_latency_ms = 3
            input_shape = [3, 8, 8]
            [models.a]
            model = "/elsewhere/a.onnx"
            max_bytes = 2
            input_shape = {image = [3, 8, 8], mask = [8]}
            """,
        )
    )
    assert (first.name, first.model, first.data) == ("b", tmp_path / "sub/b.onnx", tmp_path / "test.npz")
    assert (first.max_bytes, first.max_latency_ms, first.input_shape) == (1000, 3.0, (3, 8, 8))
    assert (second.name, second.model, second.max_bytes) == ("a", Path("/elsewhere/a.onnx"), 2)
    assert second.input_shape == {"image": (3, 8, 8), "mask": (8,)}
    assert first.asked == ("size", "latency")
    assert (first.measures_time, second.measures_time) == (True, False)
    assert first.files == (first.model, first.data)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_byte = 5", "[models.a] has 'max_byte', which is not known; did you mean max_bytes?"),
        ("zzz = 5", "the keys are against, arch, atol, "),
        ("[default]", "gates.toml has 'default', which is not known; did you mean defaults?"),
        (
            "[defaults]\nmax_latency = 3",
            "[defaults] has 'max_latency', which is not known; did you mean max_latency_ms?",
        ),
        ("max_bytes = -1", "max_bytes = -1; expected a whole number from 1 on"),
        ("max_bytes = true", "max_bytes = True; expected a whole number"),
        ("max_bytes = 0.5", "max_bytes = 0.5; expected a whole number"),
        ("min_speedup = 0", "min_speedup = 0; expected a positive number"),
        ("min_speedup = nan", "min_speedup = nan; expected a positive number"),
        ("threshold = '0.1'", "threshold = '0.1'; expected a number from 0 on"),
        ("against = 3", "against = 3; expected text in quotes"),
        ("device = 'gpu'", "there is no device 'gpu'"),
        ("input_shape = [3, 0]", "input_shape = [3, 0]; expected sizes like [3, 32, 32]"),
        ("input_shape = {}", "expected sizes like"),
        ("threads = 2", "asks for nothing; expected one of device, max_bytes, "),
        ("min_speedup = 2", "min_speedup but no baseline"),
        ("min_accuracy = 90", "neither data"),
        ("data = 'x.npz'\nmax_accuracy_drop = 1", "neither baseline nor against"),
        ("against = 'b.pth'\natol = 0.1", "one of atol and rtol"),
        ("max_bytes = ", "is no TOML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    """Unknown names get a suggestion, values say what was expected, and a gate says what it lacks."""
    path = written(tmp_path, f"[models.a]\nmodel = 'a.onnx'\n{text}\n")
    with pytest.raises(GatesError) as raised:
        read_gates(path)
    assert says in str(raised.value)
    assert str(path) in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no model"),
        ("models = 3", "models is no table"),
        ("[models]\na = 'a.onnx'", "models.a is no table"),
        ("[models.a]\nmax_bytes = 3", "names no file"),
    ],
)
def test_a_file_without_models_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """A file that judges nothing must not pass."""
    with pytest.raises(GatesError, match=says):
        read_gates(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """It says which."""
    with pytest.raises(GatesError, match=r"cannot read .*none\.toml"):
        read_gates(tmp_path / "none.toml")
