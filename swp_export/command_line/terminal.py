"""Where things are printed: data on standard output, progress and remarks on standard error."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from swp_export.command_line.invocation import invocation
from swp_export.printable import LONGEST, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType, RenderResult

PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""


class Report(Protocol):
    """What a command returns."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""


R = TypeVar("R", bound=Report)


def print_report(report: R, tables: Callable[[R], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Print `report` on standard output, as one JSON document or as its `tables`."""
    if as_json:
        print_json(document_of(report))
    else:
        print_data(tables(report))


def document_of(report: Report) -> dict[str, Any]:
    """Return the JSON document of `report`, with the command line that made it."""
    typed = invocation()
    return report.to_json() | ({} if typed is None else {"command_line": typed})


def print_data(renderables: Iterable[RenderableType]) -> None:
    """Print `renderables` on standard output, long names cut and what would steer the terminal spelled out.

    A string is one line, however long.
    """
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False)
    for renderable in renderables:
        if isinstance(renderable, str):
            sys.stdout.write(f"{printable(renderable)}\n")
        else:
            _cut(renderable)
            console.print(_Harmless(renderable))


def print_warnings(warnings: Iterable[str]) -> None:
    """Print what has to be known beside the result on standard error."""
    for text in warnings:
        sys.stderr.write(f"swp-export: warning: {printable(text)}\n")


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
            with contextlib.suppress(OSError, ValueError):  # closed: nobody reads remarks, which is no error
                sys.stderr.write(f"{printable(stage, longest=2 * LONGEST)}\n")
                sys.stderr.flush()

    yield line


def _fitted(text: str) -> str:
    from rich.markup import escape

    text = printable(text)
    columns = shutil.get_terminal_size().columns - 4
    return escape(text if len(text) <= columns else text[: columns - 1] + "…")


class _Harmless:
    """What a renderable draws, with every character of its text that a terminal would obey spelled out."""

    def __init__(self, drawn: RenderableType) -> None:
        self._drawn = drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._drawn, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = segment.text.split("\n")
                yield Segment("\n".join(map(printable, lines)), segment.style)


def _cut(renderable: RenderableType) -> None:
    """Cut and spell the cells of a table before it is laid out, so that its columns stay aligned."""
    if not isinstance(renderable, Table):
        return
    for column in renderable.columns:
        cells = column._cells  # noqa: SLF001 # rich has no other way to change a cell
        cells[:] = [_cell(cell) if isinstance(cell, str) else cell for cell in cells]


def _cell(markup: str) -> RenderableType:
    text = Text.from_markup(markup)
    if len(text.plain) <= LONGEST and all(map(str.isprintable, text.plain.split("\n"))):
        return markup
    return Text(printable(text.plain, longest=LONGEST))
