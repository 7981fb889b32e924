"""How the program ends: errors become one line and an exit code, signals unwind the stack.

Errors of the family in `swp_export.errors` become one line on standard error and their exit code here, and nowhere
else. Any other exception is a defect of ours: it keeps its traceback and exits with 70, never with 1, which says that a
check is false.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from swp_export.atomic import DEVICE_ERRORS
from swp_export.command_line.invocation import remember
from swp_export.errors import SwpExportError
from swp_export.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

UNUSABLE = 2
DEFECT = 70
"""EX_SOFTWARE of sysexits.h."""
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143

_LONGEST_LINE = 2000
"""Characters of an error; a name in it may be as long as its file."""


class Termination(BaseException):
    """SIGTERM arrived: like KeyboardInterrupt, it unwinds the stack, so that temporary files are removed."""


class Commands(click.Group):
    """A group whose errors are one line each, with the exit code that the error carries.

    Its commands are listed in the order in which they were added.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Return the names of the commands."""
        return list(self.commands)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse; see click.Command.make_context."""
        typed = list(args)
        context = super().make_context(info_name, args, parent, **extra)
        remember(context, typed)
        return context

    def main(  # type: ignore[override] # two overloads that differ in the type of the result alone
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run the program; see click.Group.main."""
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        stdout = sys.stdout
        try:
            try:
                code = super().main(args, prog_name, standalone_mode=False, **extra)
            finally:
                sys.stdout.flush()  # here, where a full disk can still be reported
        except click.ClickException as error:
            _refuse(error)
        except SwpExportError as error:
            _fail(str(error), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _fail("interrupted; no file is half-written", INTERRUPTED)
        except Termination:
            _fail("terminated; no file is half-written", TERMINATED)
        except BrokenPipeError:  # whoever reads standard output has seen enough
            _discard_output()
            sys.exit(PIPE_CLOSED)
        except SystemExit as error:
            # rich and click make exit code 1 of a closed pipe; click also replaces the stream.
            if not isinstance(error.__context__, BrokenPipeError) and sys.stdout is stdout:
                raise
            _discard_output()
            sys.exit(PIPE_CLOSED)
        except Exception as error:  # noqa: BLE001 # whatever it is, its exit code must not be 1
            _fail_unexpectedly(error)
        sys.exit(code if isinstance(code, int) else 0)


def _refuse(error: click.ClickException) -> None:
    """Say what is wrong with the command line, and which command shows how it is right."""
    message = error.format_message()
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # the program's name alone: its help
        _say_lines(message)
        sys.exit(error.exit_code)
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = message[:1].lower() + message[1:].rstrip(".")
    _fail(message if context is None else f"{message}; see `{context.command_path} --help`", error.exit_code)


def _fail_unexpectedly(error: Exception) -> None:
    # Standard output that is full: an error with a file's name is another one's, files that we write have become an
    # OutputError.
    if isinstance(error, OSError) and error.errno in DEVICE_ERRORS and error.filename is None:
        _discard_output()
        _fail(f"cannot write standard output: {error.strerror}", UNUSABLE)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("swp_export"):
        _fail(f"this command needs the package {error.name}, which is not installed here; pip install it", UNUSABLE)
    _say_lines("".join(traceback.format_exception(error)))
    _say("swp-export: this is a defect of swp-export, please report it")
    sys.exit(DEFECT)


def _discard_output() -> None:
    """Point standard output nowhere: the interpreter flushes it again when it exits, and would fail again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> None:
    _say(f"swp-export: error: {printable(' '.join(message.split()), longest=_LONGEST_LINE)}")
    sys.exit(code)


def _say_lines(text: str) -> None:
    for line in text.splitlines():
        _say(line)


def _say(line: str) -> None:
    """Write `line` to standard error, which may be closed: the exit code then says it alone."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(printable(line), err=True)


def open_closed_streams() -> None:
    """Give each standard stream that was closed a file that swallows all, or a file of ours would get its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def heed_termination() -> None:
    """Let SIGTERM raise Termination."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Termination
