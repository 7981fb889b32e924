"""Damaged and hostile files: exit code 2 and one line, or a right answer; nothing overwritten, no terminal steered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from swp_export.cli import cli
from swp_export.errors import ModelError
from swp_export.graph.analysis.flops import require_runnable
from swp_export.graph.files.reading import read_model

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = Path(__file__).parent / "cases" / "hostile"
MODEL = HOSTILE / "control-characters.onnx"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs the program in an empty folder, checks its streams and returns its error or ""."""
    monkeypatch.chdir(tmp_path)

    def run_once(*arguments: str | Path) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments], prog_name="swp-export")
        out, err = capsys.readouterr()
        assert all(character.isprintable() or character == "\n" for character in out + err)
        assert "Traceback" not in err
        if caught.value.code == 0:
            return ""
        assert caught.value.code == 2, err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        errors = [line for line in err.splitlines() if line.startswith("swp-export: error: ")]
        assert err.splitlines()[-1:] == errors
        return errors[0]

    return run_once


@pytest.mark.parametrize(
    ("command", "name", "says"),
    [
        ("inspect", "contains-itself.pth", "wraps its state dict"),
        ("inspect", "lowered-layer-lacks-metadata.onnx", "metadata is damaged.*conv0"),
        ("inspect", "declares-a-billion-filters.onnx", "metadata is damaged"),
        ("inspect", "name-is-not-utf8.onnx", "not UTF-8"),
        ("inspect", "unknown-dtype.onnx", "data type 99"),
        ("inspect", "dims-lie.onnx", r"declares tensor 'w0' as FLOAT \[4, 3, 3\], 144 bytes, and holds 432"),
        ("inspect", "zero-strides.onnx", r"strides = \[0, 0\] at Conv"),
        ("prune", "input-20000-by-20000.onnx", "1,200,000,000 numbers"),
        ("bench", "zero-strides.onnx", r"strides = \[0, 0\] at Conv"),
        ("bench", "input-20000-by-20000.onnx", "1,200,000,000 numbers|expected at most"),
        ("prune", "control-characters.onnx", ""),
        ("inspect", "control-characters.onnx", ""),
        ("inspect", "nested-functions-14.onnx", ""),
    ],
)
def test_each_file(command: str, name: str, says: str, run: Callable[..., str]) -> None:
    """Each file of the cases is refused by what is wrong with it, or answered."""
    import re

    assert re.search(says, run(command, HOSTILE / name)) is not None
    if not says:
        assert run(command, HOSTILE / name, "--json", *(["--force"] if command == "prune" else [])) == ""


def test_verify_refuses_sizes_and_writes_junit(run: Callable[..., str], tmp_path: Path) -> None:
    """Open sizes with a huge --input-shape are refused; a name that steers a terminal is spelled in JUnit."""
    import xml.etree.ElementTree as ET

    opened = onnx.load(MODEL)
    for dim, name in zip(opened.graph.input[0].type.tensor_type.shape.dim[2:], "HW", strict=True):
        dim.dim_param = name
    onnx.save(opened, tmp_path / "open.onnx")
    assert "numbers" in run("verify", "open.onnx", "--against", "open.onnx", "--input-shape", "3,100000,100000")
    assert run("verify", MODEL, "--against", MODEL, "--junit", "j.xml") == ""
    assert ET.parse(tmp_path / "j.xml").getroot().tag == "testsuites"  # noqa: S314 # our own document


def test_a_plan_with_a_huge_block(run: Callable[..., str]) -> None:
    """A plan's block is at most 64, before any row is filled up."""
    assert "block of 1 to 64" in run("prune", MODEL, "--plan", HOSTILE / "plan-block-1e9.json")


def test_data_files_are_inputs(run: Callable[..., str], tmp_path: Path) -> None:
    """No command writes over the file in which its input keeps its weights, whatever the option."""
    for name in ("weights-outside.onnx", "weights-outside.data"):
        (tmp_path / name).write_bytes((HOSTILE / name).read_bytes())
    model, data = "weights-outside.onnx", "weights-outside.data"
    for command in (
        ("prune", model, "-o", data),
        ("prune", model, "-o", "o.onnx", "--dense-out", data),
        ("tune", model, "-o", data),
        ("tune", model, "--plan-out", data),
        ("verify", model, "--against", MODEL, "--junit", data),
        ("verify", MODEL, "--against", model, "--junit", data),
    ):
        assert "never overwritten" in run(*command, "--force")


@pytest.mark.parametrize("location", ["/etc/passwd", "../outside.data", "link.data", "folder/../../x", "missing", "."])
def test_data_elsewhere_are_not_read(location: str, run: Callable[..., str], tmp_path: Path) -> None:
    """Data outside the model's folder, behind a link, or not there are refused by their location."""
    model = onnx.load(HOSTILE / "weights-outside.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "link.data").symlink_to(HOSTILE / "weights-outside.data")
    assert repr(location) in run("inspect", "m.onnx")


@pytest.mark.parametrize("command", ["inspect", "prune", "tune", "bench"])
@pytest.mark.parametrize("suffix", [".onnx", ".pth", ".jsonl"])
def test_what_is_no_file(command: str, suffix: str, run: Callable[..., str], tmp_path: Path) -> None:
    """A pipe, a device, a folder and a name that is too long are refused, and never waited for."""
    if suffix != ".onnx" and command in {"tune", "bench"}:
        return
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"null{suffix}").symlink_to("/dev/null")
    (tmp_path / f"folder{suffix}").mkdir()
    for name in ("pipe", "zero", "null", "folder", "x" * 300, "line\nbreak\x1b[31m"):
        assert run(command, f"{name}{suffix}") != ""


def test_outputs_that_cannot_be(run: Callable[..., str], tmp_path: Path) -> None:
    """An output that is a folder, or whose name is too long, is refused."""
    assert "is a folder" in run("prune", MODEL, "-o", tmp_path)
    assert "cannot write" in run("prune", MODEL, "-o", "x" * 300)
    assert "cannot write" in run("prune", MODEL, "-o", "missing/o.onnx")


def model_of(*nodes: onnx.NodeProto, functions: tuple[onnx.FunctionProto, ...] = (), **constants: object) -> bytes:
    """Return a model of `nodes` from x to y."""
    graph = helper.make_graph(
        [*nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("d", 1)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, functions=functions, ir_version=8
    ).SerializeToString()
    return content


def functions(depth: int, last: str) -> tuple[onnx.FunctionProto, ...]:
    """Return local functions that each call the next one twice, the last one `last`."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("d", 1)]
    return tuple(
        helper.make_function(
            "d",
            f"F{level}",
            ["a"],
            ["c"],
            [
                helper.make_node(f"F{level + 1}" if level < depth else last, ["a"], ["b"], domain="d"),
                helper.make_node(f"F{level + 1}" if level < depth else last, ["b"], ["c"], domain="d"),
            ],
            opsets,
        )
        for level in range(depth + 1)
    )


WEIGHT = np.ones((4, 3, 3, 3), np.float32)
BODY = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "b", [], [])


def pool(**attributes: object) -> onnx.NodeProto:
    """Return a MaxPool of x."""
    return helper.make_node("MaxPool", ["x"], ["y"], **({"kernel_shape": [2, 2]} | attributes))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (model_of(pool(strides=[0, 1])), "strides"),
        (model_of(helper.make_node("Conv", ["x", "w"], ["y"], group=[1]), w=WEIGHT), r"group = \[0\] at Conv"),
        (model_of(helper.make_node("Loop", ["", "", "x"], ["y"], body=BODY)), "has no end at Loop"),
        (model_of(pool(kernel_shape=[0, 1])), "kernel_shape"),
        (model_of(pool(dilations=[1, 0])), "dilations"),
        (model_of(pool(pads=[0, 0, 2**40, 0])), "pads"),
        (model_of(helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=0)), "blocksize"),
        (model_of(helper.make_node("LRN", ["x"], ["y"], size=0)), "size"),
        (model_of(helper.make_node("F0", ["x"], ["y"], domain="d"), functions=functions(40, "G")), "local functions"),
        (model_of(helper.make_node("F0", ["x"], ["y"], domain="d"), functions=functions(3, "F1")), "calls itself"),
    ],
)
def test_what_would_crash_a_runtime(content: bytes, says: str, tmp_path: Path) -> None:
    """Attributes that divide by zero, and functions without end, are refused before any C++ sees them."""
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=says):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("shape", [[3, 10**5, 10**5], [10**9]])
def test_values_that_are_too_large(shape: list[int]) -> None:
    """What a node declares to expand to is refused by the value's name, before it is computed."""
    content = model_of(helper.make_node("ConstantOfShape", ["s"], ["y"]), s=np.array(shape, np.int64))
    with pytest.raises(ModelError, match="value 'y' of the model would be"):
        require_runnable(onnx.ModelProto.FromString(content), (1, 3, 8, 8))


def in_process(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, with a home folder of its own."""
    kept = {key: value for key, value in os.environ.items() if key not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}}
    return subprocess.run(
        [sys.executable, "-m", "swp_export", *arguments],
        env={**kept, "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_telemetry(tmp_path: Path) -> None:
    """A run with ONNX Runtime leaves no file in the home folder."""
    done = in_process(tmp_path, "verify", str(MODEL), "--against", str(MODEL), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["equivalent"] is True
    assert list(tmp_path.rglob("*")) == []


def test_who_decided_about_telemetry_is_left_alone(tmp_path: Path) -> None:
    """The variable that is set already stays what it is."""
    code = "import os, swp_export; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for value in ("0", "1"):
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": value}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == value


def test_closed_streams() -> None:
    """Closed standard streams are no defect: no traceback, and never exit code 1, which says that a check is false."""
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        command = f'"{sys.executable}" -m swp_export inspect "{HOSTILE / "zero-strides.onnx"}" {closed}'
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 2, (closed, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shape", [[10**6, 10**6], [-1]])
@pytest.mark.parametrize("behind_constant", [False, True])
def test_constants_that_a_runtime_would_make_while_loading(
    shape: list[int], behind_constant: bool, tmp_path: Path
) -> None:
    """A stated shape is checked when the model is read, in an initializer or a Constant node."""
    make = helper.make_node("ConstantOfShape", ["s"], ["y"])
    stated = np.array(shape, np.int64)
    constant = helper.make_node("Constant", [], ["s"], value=onnx.numpy_helper.from_array(stated))
    content = model_of(constant, make) if behind_constant else model_of(make, s=stated)
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="at ConstantOfShape 'y'"):
        read_model(tmp_path / "m.onnx")
