"""README keeps its word: every command and every Python block in it runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_training import write_images

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


def test_every_command_runs_in_order(folder: Path) -> None:
    """Each command of README succeeds in a checkout, after those before it; only doctor may find something amiss."""
    found = commands()
    assert len(found) >= 8
    for command in found:
        program, *arguments = shlex.split(command)
        assert program == "swp-export"
        done = subprocess.run(
            [sys.executable, "-m", "swp_export", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or arguments == ["doctor"], f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr


def test_every_python_block_runs(folder: Path) -> None:
    """Each Python block of README runs."""
    for block in blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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


def test_demo_runs(tmp_path: Path) -> None:
    """The demo script does the main job in a copy of the checkout."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "demo.sh").write_bytes((ROOT / "examples" / "demo.sh").read_bytes())
    (tmp_path / "models").symlink_to(ROOT / "models")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", tmp_path / "examples" / "demo.sh"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "equivalent on" in done.stdout
    assert "Speedup" in done.stdout


@pytest.mark.parametrize("script", ["own_network.py", "from_python.py"])
def test_examples_run(script: str, tmp_path: Path) -> None:
    """Each example runs and reports an equivalent model."""
    command = [sys.executable, ROOT / "examples" / script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "equivalent on" in done.stdout


def test_a_row_of_the_papers_table(tmp_path: Path) -> None:
    """The script for the paper's rows trains, without and with pruning, and prints ours beside the paper's."""
    write_images(tmp_path / "data")
    small = {"DATASET": "fashion-mnist", "DEVICE": "cpu", "EPOCHS": "1", "WORKERS": "0"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["sh", ROOT / "examples" / "paper.sh", "vgg16", tmp_path / "data", tmp_path / "runs"]
    done = subprocess.run(command, env=os.environ | small | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"vgg16 +│ paper +│ 92.66 % +│ 71.16 %", done.stdout)
    assert re.search(r"vgg16 +│ here +│ 0.03 % +│ 0.00 %", done.stdout)
