"""Commands that documentation and examples show, run in this process; tests/test_cli.py starts true ones."""

from __future__ import annotations

import shlex

from click.testing import CliRunner

from swp_export.cli import cli


def run(arguments: list[str], *, may_fail: bool = False) -> str:
    """Run the program, and return what it says on standard output and, mixed into it, on standard error."""
    return _run(arguments, may_fail=may_fail)[0]


def printed(arguments: list[str], *, may_fail: bool = False) -> str:
    """Run the program, and return what it prints on standard output alone."""
    return _run(arguments, may_fail=may_fail)[1]


def _run(arguments: list[str], *, may_fail: bool) -> tuple[str, str]:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    said = f"{shlex.join(arguments)}\n{done.output}"
    assert done.exception is None or isinstance(done.exception, SystemExit), said
    assert done.exit_code == 0 or may_fail, said
    return done.output, done.stdout


def in_less_time(arguments: list[str]) -> list[str]:
    """Let `tune` search for a second, and `bench` measure for an instant."""
    arguments = [
        "1" if before == "--seconds" else word for before, word in zip(["", *arguments], arguments, strict=False)
    ]
    return [*arguments, "--seconds", "0", "--runs", "2"] if arguments[0] == "bench" else arguments
