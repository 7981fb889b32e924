"""Where results and remarks are printed: data on standard output, all else on standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from swp_export.command_line.invocation import invocation
from swp_export.printable import LONGEST, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import ConsoleOptions, RenderableType, RenderResult

PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal, unless the environment's COLUMNS says how many there are."""


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

    A string is one line, however long, but for a terminal, where it is broken between words.
    """
    is_measured = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(file=sys.stdout, width=None if is_measured else PLAIN_WIDTH, highlight=False)
    last: RenderableType = ""
    for renderable in renderables:
        if isinstance(last, Table) and isinstance(renderable, Table):
            console.print()
        last = renderable
        if isinstance(renderable, str):
            text = printable(renderable)
            console.print(Text(text), soft_wrap=not is_measured)
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
