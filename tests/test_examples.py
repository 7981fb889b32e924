"""The demo, the examples and the script for the paper's rows run."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import in_less_time, printed, run
from tiny_training import write_images

ROOT = Path(__file__).resolve().parent.parent


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
        if "--json" in arguments:  # the script sends it there
            (tmp_path / "demo-output" / f"{arguments[0]}.json").write_text(printed(in_less_time(arguments)))
        else:
            said += run(in_less_time(arguments))
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
