"""The command line as it was typed, for documents that say how they were made."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = "swp_export.command_line.invocation"


def remember(context: click.Context, arguments: Sequence[str]) -> None:
    """Keep the `arguments` of the program, which click consumes."""
    context.meta[_KEY] = tuple(arguments)


def invocation() -> str | None:
    """Return the command line that runs, quoted for a shell; None outside the program."""
    context = click.get_current_context(silent=True)
    arguments = None if context is None else context.meta.get(_KEY)
    return None if arguments is None else shlex.join(("swp-export", *arguments))
