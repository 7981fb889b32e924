"""What a newcomer types wrongly: one line each that says what was found, and what to do."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from swp_export.cli import cli
from swp_export.nn import BatchNorm2d, FilterStripe, Linear

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FACTORIES = """
from torch import nn
from swp_export.nn import BatchNorm2d, FilterStripe, Linear

def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))

def striped():
    return nn.Sequential(FilterStripe(3, 4, 3), BatchNorm2d(4), nn.Flatten(), Linear(256, 2))

number = 3
"""

MISTAKES: tuple[tuple[str, int, str], ...] = (
    # The command line itself.
    ("prnue best.pth --threshold 0.05", 2, "no such command 'prnue'. Did you mean 'prune'?; see `swp-export --help`"),
    ("export best.pth", 2, "no such command 'export'. Did you mean 'report'?; see `swp-export --help`"),
    ("prune", 2, "missing argument 'CHECKPOINT'; see `swp-export prune --help`"),
    ("prune best.pth --treshold 0.05", 2, "no such option '--treshold'. Did you mean '--threshold'?"),
    ("prune best.pth --threshold", 2, "option '--threshold' requires an argument"),
    ("prune best.pth --threshold 0,05", 2, "'0,05' is not a valid float"),
    ("prune best.pth 0.05", 2, "got unexpected extra argument (0.05); see `swp-export prune --help`"),
    ("prune best.pth --input-shape 3x8x8", 2, "'3x8x8' is not an input shape, expected positive numbers like 3,32,32"),
    ("bench small.onnx --device gpu", 2, "'gpu' is not one of cpu, cuda, cuda:1, openvino"),
    ("bench small.onnx --batch 0", 2, "'0' is not a list of positive numbers like 1,8"),
    ("bench", 2, "missing argument 'MODEL...'; see `swp-export bench --help`"),
    ("verify small.onnx", 2, "missing option '--against'; see `swp-export verify --help`"),
    ("verify small.onnx dense.onnx", 2, "missing option '--against'"),
    ("train --arch ResNet20 --save run", 2, "missing option '--dataset'; see `swp-export train --help`"),
    ("train --arch ResNet20 --dataset mnist --save run", 2, "cifar10, cifar100, fashion-mnist"),
    ("train --dataset imagefolder --data-path nowhere --arch ResNet20 --save run", 2, "nowhere"),
    # Files that are not there, or are of another kind.
    ("prune bset.pth --threshold 0.05", 2, "bset.pth does not exist; did you mean best.pth?"),
    ("prune . --threshold 0.05", 2, ". is a folder; name the checkpoint file in it"),
    ("inspect nothing.pt", 2, "nothing.pt does not exist; expected a checkpoint (.pth, .pth.tar, .safetensors)"),
    ("bench smal.onnx", 2, "cannot read smal.onnx: No such file or directory; did you mean small.onnx?"),
    (
        "bench best.pth",
        2,
        "best.pth is a PyTorch checkpoint, expected an ONNX model; `swp-export prune best.pth` makes",
    ),
    ("tune best.pth", 2, "best.pth is a PyTorch checkpoint, expected an ONNX model; `swp-export prune best.pth` makes"),
    (
        "verify best.pth --against small.onnx",
        2,
        "what it must compute behind --against: `swp-export verify small.onnx --against best.pth`",
    ),
    ("prune renamed.pth", 2, "an ONNX model, expected a checkpoint; rename it so that it ends in .onnx"),
    ("prune script.pt", 2, "a TorchScript file, expected a checkpoint; its code is not run"),
    ("prune whole.pth --threshold 0.05", 2, "a whole pickled module, which needs code to load"),
    ("prune pointer.pth --threshold 0.05", 2, "a Git LFS pointer instead of the file itself (`git lfs pull` gets it)"),
    ("prune page.pth --threshold 0.05", 2, "a web page or XML, perhaps of a download that failed"),
    ("prune both.pth --threshold 0.05", 2, "holds several state dicts, 'model' and 'ema'"),
    ("bench notes.onnx", 2, "notes.onnx"),
    (
        "prune best.pth --threshold 0.05 --arch my_factories:striped --input-shape 3,8,8 --data small.onnx",
        2,
        "small.onnx",
    ),
    # Thresholds.
    ("prune best.pth --arch my_factories:striped --input-shape 3,8,8", 2, "best.pth needs --threshold F"),
    (
        "prune best.pth --arch my_factories:striped --input-shape 3,8,8",
        2,
        "so --threshold 0.1 suggests itself; `swp-export",
    ),
    (
        "prune best.pth --threshold 5 --arch my_factories:striped --input-shape 3,8,8",
        2,
        "5 is not below the largest |FilterSkeleton|, 1: nothing of the network would be live; choose a smaller",
    ),
    ("inspect best.pth --threshold -1", 2, "the threshold is -1.0, expected a number that is not negative"),
    # Networks.
    ("prune best.pth --threshold 0.05", 2, "name the architecture with --arch NAME or --arch package.module:factory"),
    (
        "prune best.pth --threshold 0.05 --arch resnet65",
        2,
        "there is no architecture 'resnet65'; did you mean ResNet56?",
    ),
    ("prune best.pth --threshold 0.05 --arch my_factories:number", 2, "has no function or class 'number' to call"),
    ("prune best.pth --threshold 0.05 --arch my_networks:make", 2, "cannot import 'my_networks'"),
    ("prune best.pth --threshold 0.05 --arch my_factories:striped", 2, "is not known; give --input-shape C,H,W"),
    ("prune plain.pth", 2, "pass the network through swp_export.nn.convert before its optimizer is made"),
    ("inspect plain.pth", 2, "pass the network through swp_export.nn.convert before its optimizer is made"),
    ("prune other.onnx", 2, "there is nothing to prune; pass --threshold F where dead stripes are small but not zero"),
    (
        "prune small.onnx --lowering padsliceadd",
        2,
        "no lowering is called 'padsliceadd'; there are: dense, pad-slice-add",
    ),
    # Models.
    ("verify small.onnx --against dense.onnx --atol 0.1", 2, "pass both, or neither"),
    ("verify other.onnx --against dense.onnx", 1, "not equivalent"),
    ("tune dense.onnx --seconds 0 -o tuned.onnx", 2, "tune what prune wrote"),
    ("prune small.onnx -o small.onnx", 2, "small.onnx"),
    ("prune small.onnx -o taken.onnx", 2, "--force"),
    ("prune small.onnx --plan notes.onnx -o planned.onnx", 2, "notes.onnx"),
)
"""What is typed, the exit code, and what the one line says."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with what a newcomer may have there."""
    folder = tmp_path_factory.mktemp("desk")
    torch.manual_seed(0)
    striped = nn.Sequential(FilterStripe(3, 4, 3), BatchNorm2d(4), nn.Flatten(), Linear(256, 2))
    state = striped.state_dict()
    state["0.FilterSkeleton"][:, 0] = 1e-6
    torch.save(state, folder / "best.pth")
    torch.save({"model": state, "ema": state}, folder / "both.pth")
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).state_dict(), folder / "plain.pth")
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), folder / "whole.pth")
    torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)).save(folder / "script.pt")
    for name, dead in (("small", 0.0), ("dense", 0.0), ("other", 1.0)):
        onnx.save(_model(dead), folder / f"{name}.onnx")
    shutil.copy(folder / "small.onnx", folder / "renamed.pth")
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "page.pth").write_text("<!DOCTYPE html><title>404</title>")
    (folder / "notes.onnx").write_text("to do: export the network\n")
    (folder / "taken.onnx").write_text("precious")
    (folder / "my_factories.py").write_text(FACTORIES)
    return folder


def _model(dead: float) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        small (float[n, 2, 6, 6] input) => (float[n, 3, 4, 4] output) { output = Conv(input, weight) }"""
    )
    weight = np.random.default_rng(0).normal(size=(3, 2, 3, 3)).astype(np.float32)
    weight[:, :, 0] = dead
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    return model


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Sit down at the desk."""
    monkeypatch.chdir(desk)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield desk
    sys.modules.pop("my_factories", None)


def typed(line: str) -> Result:
    """Return what comes of a line that is typed behind `swp-export`."""
    return CliRunner().invoke(cli, shlex.split(line))


@pytest.mark.parametrize(("line", "code", "says"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_one_line_that_helps(line: str, code: int, says: str, at_desk: Path) -> None:
    """The exit code, one line of error with what to do, no traceback, and no file more or less."""
    before = {path.name: path.read_bytes() for path in at_desk.iterdir() if path.is_file()}
    result = typed(line)
    errors = [text for text in result.stderr.splitlines() if text.startswith("swp-export: error: ")]
    assert (result.exit_code, len(errors)) == (code, 1), result.output
    assert says in errors[0]
    assert "Traceback" not in result.output
    assert {path.name: path.read_bytes() for path in at_desk.iterdir() if path.is_file()} == before


def test_there_are_enough_of_them() -> None:
    """Forty mistakes at least."""
    assert len(MISTAKES) >= 40


def test_the_name_alone_is_answered_with_help() -> None:
    """`swp-export` shows the commands, a way to begin, what the words mean, and no error."""
    result = typed("")
    assert result.exit_code == 2
    for part in ("Usage: swp-export", "Start here:", "tap  ", "live  ", "broken  ", "COMPLETE=bash_source"):
        assert part in result.stderr
    assert "swp-export: error" not in result.stderr
    assert max(map(len, result.stderr.splitlines())) <= 80


@pytest.mark.parametrize("name", cli.commands)
def test_help_has_examples_that_are_true(name: str) -> None:
    """Each command's help ends with real uses, fits into 80 columns, and names --quiet and --json."""
    result = typed(f"{name} --help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for option in ("--quiet", "--verbose", "--json"):
        assert option in result.stdout
    lines = [text.strip() for text in result.stdout.partition("Examples:\n")[2].splitlines()]
    uses = [shlex.split(text.partition(" > ")[0]) for text in lines if text.startswith("swp-export ")]
    assert uses
    for _, command, *arguments in uses:
        with cli.commands[command].make_context(command, arguments) as context:
            assert context.params
