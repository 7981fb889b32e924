"""Where things are printed: data on standard output, progress and remarks on standard error."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""


def print_data(renderables: list[RenderableType]) -> None:
    """Print `renderables` on standard output."""
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False)
    for renderable in renderables:
        console.print(renderable)


def print_json(document: dict[str, Any]) -> None:
    """Print `document` as the one JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done: one changing line on a terminal, else one line per stage.

    A stage is what stands before the first colon.
    """
    if sys.stderr.isatty():
        with Console(file=sys.stderr).status("") as status:
            yield lambda text: status.update(_fitted(text))
        return
    seen: set[str] = set()

    def line(text: str) -> None:
        stage = text.partition(":")[0]
        if stage not in seen:
            seen.add(stage)
            sys.stderr.write(f"{stage}\n")
            sys.stderr.flush()

    yield line


def _fitted(text: str) -> str:
    from rich.markup import escape

    columns = shutil.get_terminal_size().columns - 4
    return escape(text if len(text) <= columns else text[: columns - 1] + "…")
