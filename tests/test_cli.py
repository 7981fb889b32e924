"""The command line's contract: streams, exit codes, one clear line for a mistake, nothing left behind."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from click.testing import CliRunner, Result

from swp_export.cli import cli
from swp_export.graph.metadata import INPUT_SHAPE, THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
RESNET56 = ROOT / "models" / "resnet56-fashion-mnist"
VGG16 = ROOT / "models" / "vgg16-fashion-mnist"


def run(*arguments: str | Path) -> Result:
    """Run the program in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    """Write a model of one convolution."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        tiny (float[n, 1, 4, 4] input) => (float[n, 1, 4, 4] output)
        <float[1, 1, 1, 1] weight = {2}>
        { output = Conv(input, weight) }"""
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(model, path)
    return path


class Dangerous:
    """Pickles as a call of print."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this file ran code",)


def state_with(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return the state dict of ResNet56 with some keys (dots written as __) replaced or, if None, removed."""
    state = dict(torch.load(RESNET56 / "best.pth.tar", weights_only=True))
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


BAD_CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(missing_ok=True),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes((RESNET56 / "best.pth.tar").read_bytes()[:1_000_000]),
    "not a checkpoint": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "code": lambda path: torch.save({"state_dict": Dangerous()}, path),
    "raw pickle": lambda path: path.write_bytes(pickle.dumps({"state_dict": Dangerous()})),
    "no skeletons": lambda path: torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, path),
    "unknown architecture": lambda path: torch.save(
        {"body.weight": torch.ones(4, 3, 3, 3), "body.FilterSkeleton": torch.ones(4, 3, 3)}, path
    ),
    "contradiction": lambda path: torch.save(state_with(layer1__0__conv1__weight=torch.ones(16, 7, 3, 3)), path),
    "missing key": lambda path: torch.save(state_with(layer1__0__bn1__weight=None), path),
    "NaN": lambda path: torch.save(state_with(conv1__weight=torch.full((16, 3, 3, 3), torch.nan)), path),
    "Inf": lambda path: torch.save(state_with(fc__bias=torch.full((10,), torch.inf)), path),
}


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """Assert that `result` ended with `code`, one line on standard error that has `words`, and nothing else."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("swp-export: error:")]
    assert result.exit_code == code, result.output
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", ["bad.pth"]),
        ("empty", ["bad.pth", "empty"]),
        ("truncated", ["bad.pth"]),
        ("not a checkpoint", ["bad.pth"]),
        ("code", ["bad.pth", "print"]),
        ("raw pickle", ["bad.pth"]),
        ("no skeletons", ["Filter Skeletons"]),
        ("unknown architecture", ["--arch"]),
        ("contradiction", ["layer1.0.conv1"]),
        ("missing key", ["layer1.0.bn1"]),
        ("NaN", ["conv1.weight", "NaN"]),
        ("Inf", ["fc.bias"]),
    ],
)
def test_bad_checkpoint_is_one_line_and_writes_nothing(kind: str, words: list[str], folder: Path) -> None:
    """Every unusable checkpoint exits with 2, says what is wrong on one line, and leaves no file."""
    BAD_CHECKPOINTS[kind](folder / "bad.pth")
    before = sorted(folder.iterdir())
    assert_one_line(run("prune", "bad.pth", "--threshold", "0.01"), 2, *words)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prune", RESNET56 / "best.pth.tar"], ["--threshold"]),
        (["prune", RESNET56 / "best.pth.tar", "--threshold", "9"], ["9", "live"]),
        (["prune", RESNET56 / "best.pth.tar", "--threshold", "-1"], ["-1"]),
        (["prune", RESNET56 / "best.pth.tar", "--threshold", "nan"], ["nan"]),
        (["prune", RESNET56 / "best.pth.tar", "--threshold", "much"], ["much"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--threshold", "0.1"], ["--threshold"]),
        (["prune", RESNET56 / "pruned_patch1.pth.tar", "--threshold", "0.3"], ["0.3"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--arch", "VGG61"], ["VGG61"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--arch", "VGG16"], ["VGG16"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--arch", "nowhere:factory"], ["nowhere"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--input-shape", "1,32,32"], ["32"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--input-shape", "3x32x32"], ["3,32,32"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--lowering", "magic"], ["magic", "pad-slice-add"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--output", "no/such/folder/x.onnx"], ["no/such/folder"]),
        (["prune", RESNET56 / "pruned.pth.tar", "--treshold", "1"], ["--threshold"]),
        (["prnue", RESNET56 / "pruned.pth.tar"], ["prnue"]),
        (["bench", "missing.onnx"], ["missing.onnx"]),
        (["bench", "text.onnx"], ["text.onnx"]),
        (["verify", "text.onnx", "--against", RESNET56 / "pruned.pth.tar"], ["text.onnx"]),
        (["prune", "text.onnx"], ["text.onnx"]),
        (["inspect", "text.onnx"], ["text.onnx"]),
        (["inspect", "missing.pth"], ["missing.pth"]),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(arguments: list[str], words: list[str], folder: Path) -> None:
    """Every wrong option or file exits with 2, says what is wrong on one line, and leaves no file."""
    (folder / "text.onnx").write_text("this is no model\n")
    assert_one_line(run(*arguments), 2, *words)
    assert [path.name for path in folder.iterdir()] == ["text.onnx"]


def test_existing_output_needs_force(folder: Path) -> None:
    """An existing file is refused before any work is done, and keeps its content."""
    (folder / "pruned.onnx").write_text("precious")
    assert_one_line(run("prune", RESNET56 / "pruned.pth.tar"), 2, "pruned.onnx", "--force")
    assert (folder / "pruned.onnx").read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32" or not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while the file is written ends with one line, and no partial file."""
    original = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        return original(Path("/dev/full"), content) if path.suffix == ".onnx" else original(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run("prune", VGG16 / "pruned.pth.tar", "--no-verify")
    assert_one_line(result, 2, "pruned.onnx", "No space left")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have CUDA")
def test_cuda_that_is_not_there_is_one_line(tiny_onnx: Path) -> None:
    """`--device cuda` without CUDA exits with 2 and one line on file descriptor 2, C++ loggers included."""
    command = [sys.executable, "-m", "swp_export", "bench", str(tiny_onnx), "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line not in {"loading", "measuring batch 1"}]
    assert line.startswith("swp-export: error:")


def test_a_layer_without_live_stripes_is_a_warning(folder: Path) -> None:
    """A threshold that kills whole layers is legal and exact: the model is written, and the layers are named."""
    result = run("prune", RESNET56 / "best.pth.tar", "--threshold", "0.2", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (folder / "best.onnx").exists()
    assert document["verification"]["equivalent"]
    dead = [layer["name"] for layer in document["layers"] if layer["lowering"] == "removed"]
    assert "layer1.2.conv1" in dead
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("swp-export: warning:")]
    assert "47 of 55 layers have no live stripe at threshold 0.2 (layer1.2.conv2, " in warning
    assert "probably destroyed" in warning
    totals = document["totals"]
    assert totals["params_after"] < totals["params_before"]
    assert totals["flops_after"] <= totals["executed_flops"] < totals["flops_before"]


def test_prune_then_verify_then_spoil(folder: Path) -> None:
    """A model verifies against its checkpoint by the recorded threshold; with one weight changed it exits with 1."""
    assert run("prune", RESNET56 / "best.pth.tar", "--threshold", "0.01", "--no-verify").exit_code == 0
    good = run("verify", "best.onnx", "--against", RESNET56 / "best.pth.tar", "--junit", "good.xml")
    assert good.exit_code == 0, good.output
    assert 'failures="0"' in (folder / "good.xml").read_text()
    spoil_one_weight(folder / "best.onnx")
    bad = run("verify", "best.onnx", "--against", RESNET56 / "best.pth.tar", "--junit", "bad.xml", "--json")
    assert bad.exit_code == 1
    document = json.loads(bad.stdout)
    assert document["equivalent"] is False
    assert document["first_diverging_layer"] == "layer2.3.conv1"
    assert "layer2.3.conv1" in bad.stderr
    assert 'failures="0"' not in (folder / "bad.xml").read_text()


def spoil_one_weight(path: Path) -> None:
    """Change the largest weight of layer2.3.conv1 by a tenth."""
    import onnx_ir as ir

    from swp_export.graph.metadata import LAYER
    from swp_export.graph.operators.weights import put_weight

    model = ir.load(path)
    node = next(n for n in model.graph if n.op_type == "Conv" and n.metadata_props.get(LAYER) == "layer2.3.conv1")
    weight = node.inputs[1].const_value.numpy().copy()
    weight[np.unravel_index(np.abs(weight).argmax(), weight.shape)] *= 1.1
    put_weight(node, weight)
    ir.save(model, path)


def test_atol_and_rtol_come_together(tiny_onnx: Path) -> None:
    """One tolerance alone is refused: half a budget is a mistake."""
    assert_one_line(run("verify", tiny_onnx, "--against", tiny_onnx, "--atol", "1"), 2, "--rtol")


def test_a_machine_without_torch_is_told_so(folder: Path) -> None:
    """Where torch is not installed, the commands that need it say that on one line; it is no defect of ours."""
    code = "import sys; sys.modules['torch'] = None\nfrom swp_export.cli import main; main()"
    command = [sys.executable, "-c", code, "prune", str(VGG16 / "pruned.pth.tar")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs the package torch, which is not installed" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


def test_help_imports_neither_torch_nor_onnxruntime() -> None:
    """`--help` of the program and of every command stays light."""
    code = (
        "import sys; from click.testing import CliRunner; from swp_export.cli import cli\n"
        "for name in [[], *([n] for n in cli.commands)]:\n"
        "    result = CliRunner().invoke(cli, [*name, '--help']); assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'onnx_ir', 'onnxsim', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_interrupt_leaves_nothing(number: signal.Signals, code: int, word: str, folder: Path) -> None:
    """Ctrl-C or SIGTERM in the middle of the work removes the temporary file; the exit code is the shell's."""
    command = [sys.executable, "-m", "swp_export", "prune", str(VGG16 / "pruned.pth.tar")]
    # Whoever runs the tests in the background lets them, and their children, ignore Ctrl-C.
    heard = signal.signal(number, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(number, heard)
    assert process.stderr is not None
    while "exporting" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, rest = process.communicate()
    assert process.returncode == code
    assert word in rest
    assert "Traceback" not in rest
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"], ["--help"]])
def test_full_standard_output_is_one_line(arguments: list[str], tiny_onnx: Path) -> None:
    """`swp-export inspect model.onnx > /dev/full` says so on one line and exits with 2."""
    command = [sys.executable, "-m", "swp_export", *arguments, str(tiny_onnx)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("swp-export: error: cannot write standard output: No space left")


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"], ["--help"]])
def test_broken_pipe_is_silent(arguments: list[str], tiny_onnx: Path) -> None:
    """`swp-export inspect model.onnx | head -0` ends without a word, as SIGPIPE would end it."""
    command = [sys.executable, "-m", "swp_export", *arguments, str(tiny_onnx)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_defect_keeps_its_traceback_and_exits_70(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that we did not foresee is not taken for a check that is false."""

    def broken(*_arguments: object, **_options: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("swp_export.inspection.inspect.inspect", broken)
    result = run("inspect", tiny_onnx)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "KeyError: 'a defect'" in result.stderr


@pytest.mark.parametrize(
    "command", [["verify", "--against", VGG16 / "pruned.pth.tar"], ["bench"], ["tune"], ["inspect"]]
)
def test_damaged_input_shape_is_one_line(command: list[str | Path], tiny_onnx: Path) -> None:
    """A model whose metadata is damaged is to blame, whichever command reads it."""
    model = onnx.load(tiny_onnx)
    onnx.helper.set_model_props(model, {INPUT_SHAPE: "1,4"})
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, tiny_onnx)
    assert_one_line(run(*command, tiny_onnx), 2, INPUT_SHAPE, "'1,4'")


def test_damaged_threshold_is_one_line(tiny_onnx: Path) -> None:
    """So is one whose threshold is no number."""
    model = onnx.load(tiny_onnx)
    onnx.helper.set_model_props(model, {THRESHOLD: "abc"})
    onnx.save(model, tiny_onnx)
    result = run("verify", tiny_onnx, "--against", RESNET56 / "best.pth.tar")
    assert_one_line(result, 2, "tiny.onnx", THRESHOLD, "'abc'")


def test_a_factory_that_raises_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the user's own code is told, not thrown."""
    (folder / "raising_network.py").write_text("def factory():\n    return {}['width']\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    result = run("prune", RESNET56 / "pruned.pth.tar", "--arch", "raising_network:factory")
    assert_one_line(result, 2, "raising_network:factory", "KeyError: 'width'")


def test_checkout_runs_the_same_program() -> None:
    """`python cli.py` and `python -m swp_export` are the program."""
    versions = {
        subprocess.run(
            [sys.executable, *start, "--version"], check=True, capture_output=True, text=True, cwd=ROOT
        ).stdout
        for start in (["cli.py"], ["-m", "swp_export"])
    }
    assert len(versions) == 1
