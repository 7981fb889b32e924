"""The examples for CI speak of what is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click

from swp_export.cli import cli
from swp_export.gates.gates import ASKED_BY
from swp_export.gates.gates_file import read_gates

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / "examples" / "ci"


def test_the_gates_are_read_and_show_every_one() -> None:
    """The file is one that `check` takes, and together its models ask for all that can be asked for."""
    asked = {name for gates in read_gates(CI / "gates.toml") for name in gates.asked}
    assert asked == set(ASKED_BY)


def test_the_workflow_runs_commands_as_they_are() -> None:
    """Each command line of the workflow and of the image's head is one that the program takes."""
    text = (CI / "github-actions.yml").read_text(encoding="utf-8")
    lines = re.findall(r"run: swp-export ([^>\n]*)", text)
    lines += re.findall(r"swp-export (check .*)", (CI / "Dockerfile").read_text(encoding="utf-8"))
    assert len(lines) == 3
    for line in lines:
        name, *arguments = shlex.split(line)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, arguments, resilient_parsing=True).close()


def test_what_is_installed_is_there() -> None:
    """The folders that the workflow and the image install from build distributions without torch."""
    for name in ("github-actions.yml", "Dockerfile"):
        text = (CI / name).read_text(encoding="utf-8")
        folders = re.findall(r"^(?:RUN|      - run:) pip .*/(packaging/\S+)", text, re.MULTILINE)
        assert folders == ["packaging/runtime"]
        built = tomllib.loads((ROOT / folders[0] / "pyproject.toml").read_text(encoding="utf-8"))
        assert not any(need.startswith("torch") for need in built["project"]["dependencies"])
    for source in re.findall(r"^COPY (\w\S*)", (CI / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE):
        assert (ROOT / source).exists()
