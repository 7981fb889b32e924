"""README keeps its word: every command and every Python block in it runs."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_training import write_images

from swp_export.cli import cli
from swp_export.graph.operators.operator import ChannelRule
from swp_export.graph.operators.table import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of README in `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the lines of README's console blocks that a user types, in order."""
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that looks like the checkout to the commands, with a small data set to train on, and a picture."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "models").symlink_to(ROOT / "models")
    write_images(folder / "data")
    Image.new("RGB", (40, 30), "grey").save(folder / "shoe.png")
    return folder


def run(arguments: list[str], *, may_fail: bool = False) -> str:
    """Run the program in this process, and return what it says on both streams; tests/test_cli.py starts true ones."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    said = f"{shlex.join(arguments)}\n{done.output}"
    assert done.exception is None or isinstance(done.exception, SystemExit), said
    assert done.exit_code == 0 or may_fail, said
    return done.output


def recorded(script: Path, *arguments: str | Path, folder: Path, **environment: str) -> list[list[str]]:
    """Run a shell script in which `swp-export` and `python` only write down how they are called; return the calls."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("swp-export", "python"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\0" {name} "$@" end >> "{programs}/calls"\n')
        program.chmod(0o755)
    environment |= {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    done = subprocess.run(
        ["sh", script, *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    calls = (programs / "calls").read_text().removesuffix("end\0").split("end\0")
    return [call.removesuffix("\0").split("\0") for call in calls]


def run_script(script: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a Python script in this process."""
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    monkeypatch.syspath_prepend(script.parent)
    runpy.run_path(str(script), run_name="__main__")


def in_less_time(arguments: list[str]) -> list[str]:
    """Let `tune` search for a second."""
    return ["1" if before == "--seconds" else word for before, word in zip(["", *arguments], arguments, strict=False)]


def test_every_command_runs_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of README succeeds in a checkout, after those before it; only doctor may find something amiss."""
    found = commands()
    assert len(found) >= 8
    monkeypatch.chdir(folder)
    for command in found:
        program, *arguments = shlex.split(command)
        assert program == "swp-export"
        run(in_less_time(arguments), may_fail=arguments == ["doctor"])


def test_every_python_block_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of README runs."""
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 # what README says


@pytest.mark.parametrize(("before", "keeps"), [("Channels are followed through ", False), ("they read: ", True)])
def test_the_lists_of_operators_are_those_of_the_table(before: str, keeps: bool) -> None:
    """Each list names the operators of the table that follow channels, or keep them, by alphabet."""
    names = [f"`{name}`" for name, row in sorted(OPERATORS.items()) if (type(row.channels) is ChannelRule) == keeps]
    listed = ", ".join(names[:-1]) + " and " + names[-1] + "."
    assert f"{before}{listed}" in " ".join(README.split()), f"README should say: {before}{listed}"


def test_make_targets_exist() -> None:
    """README's make targets are in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`make (\w+)`", README)) | set(re.findall(r"^make (\w+)$", "\n".join(blocks("sh")), re.M))
    assert {"demo", "test", "lint", "bench"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_demo_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo script does the main job in a copy of the checkout."""
    (tmp_path / "examples").mkdir()
    script = tmp_path / "examples" / "demo.sh"
    script.write_bytes((ROOT / "examples" / "demo.sh").read_bytes())
    (tmp_path / "models").symlink_to(ROOT / "models")
    calls = recorded(script, folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    said = ""
    for _, *arguments in calls:
        said += (one := run(in_less_time(arguments)))
        if "--json" in arguments:  # the script sends it there; before it stands what goes to standard error
            (tmp_path / "demo-output" / f"{arguments[0]}.json").write_text(one[one.index("{") :])
    assert {arguments[0] for _, *arguments in calls} == {"prune", "verify", "bench", "tune", "report"}
    assert "equivalent on" in said
    assert "Speedup" in said
    assert (tmp_path / "demo-output" / "report.html").stat().st_size < 2_000_000


@pytest.mark.parametrize("script", ["own_network.py", "from_python.py"])
def test_examples_run(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example runs and reports an equivalent model."""
    run_script(ROOT / "examples" / script, [str(tmp_path)], monkeypatch)
    assert "equivalent on" in capsys.readouterr().out


def test_a_row_of_the_papers_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script for the paper's rows trains, without and with pruning, and prints ours beside the paper's."""
    write_images(tmp_path / "data")
    small = {"DATASET": "fashion-mnist", "DEVICE": "cpu", "EPOCHS": "1", "WORKERS": "0"}
    script, data, runs = ROOT / "benchmarks" / "paper.sh", tmp_path / "data", tmp_path / "runs"
    *trainings, (python, table, *arguments) = recorded(script, "vgg16", data, runs, folder=tmp_path, **small)
    assert python == "python"
    for program, *training in trainings:
        assert program == "swp-export"
        run(training)
    run_script(Path(table), arguments, monkeypatch)
    said = capsys.readouterr().out
    assert re.search(r"vgg16 +│ paper +│ 92.66 % +│ 71.16 %", said)
    assert re.search(r"vgg16 +│ here +│ 0.03 % +│ 0.00 %", said)
