"""An empty table, as all of them look: no frames, whole names, and columns that may go where there is no room."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderResult

_NOTHING_IS_WIDER = 1 << 16
_SIGNS = ">~?"
_PROSE = 14
"""Columns that a sentence in a cell gets at least; what is longer goes on in the next line."""


class FittingTable(Table):
    """A table that leaves out optional columns, the last of them first, where the console is too narrow for it.

    Its caption then names them.
    """

    optional: frozenset[str] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it with as many columns as fit; title and caption may be wider than the columns."""
        table = self._fitting(console, options)
        title, caption = table.title, table.caption
        table = self._with(table.columns)
        table.title = table.caption = None
        if title:
            yield Text.from_markup(str(title), style="table.title")
        yield from Table.__rich_console__(table, console, options)
        if caption:
            yield Text.from_markup(str(caption), style="table.caption")

    def _fitting(self, console: Console, options: ConsoleOptions) -> FittingTable:
        left_out: list[str] = []
        table = self
        room = options.max_width
        wide = options.update(max_width=_NOTHING_IS_WIDER)
        while (needed := Measurement.get(console, wide, table._narrowest()).maximum) > room:  # its own
            last = next((c for c in reversed(table.columns) if str(c.header) in self.optional), None)
            if last is None:
                break
            left_out.insert(0, " ".join(str(last.header).split()))
            table = self._with(column for column in table.columns if column is not last)
            said = escape(f"No room for: {', '.join(left_out)}")
            table.caption = f"{self.caption}. {said}" if isinstance(self.caption, str) else said
        if needed <= room:
            for column in table.columns:
                if column.overflow == "fold":  # a name stays whole, prose beside it goes on in a second line
                    column.min_width = max((Measurement.get(console, wide, c).maximum for c in column.cells), default=0)
        return table

    def _narrowest(self) -> FittingTable:
        """Return the table with its prose in narrow columns."""
        table = self._with(self.columns)
        for column in table.columns:
            if column.overflow == "ellipsis" and not column.no_wrap:
                column.max_width = _PROSE
        return table

    def _with(self, columns: Iterable[Column]) -> FittingTable:
        table = copy.copy(self)
        table.columns = [dataclasses.replace(column, _index=index) for index, column in enumerate(columns)]
        return table


def new_table(title: str, *headings: str, caption: str | None = None) -> FittingTable:
    """Return an empty table; signs before a heading say how its column looks.

    ">": numbers, on the right. "~": long names, which go on in a second line where they must. "?": may be left out
    where the console is narrow.
    """
    columns = [
        Column(
            heading.lstrip(_SIGNS),
            justify="right" if ">" in heading[:3] else "left",
            overflow="fold" if "~" in heading[:3] else "ellipsis",
            no_wrap=">" in heading[:3],
        )
        for heading in headings
    ]
    table = FittingTable(
        *columns,
        title=escape(title),
        caption=caption and escape(caption),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.optional = frozenset(heading.lstrip(_SIGNS) for heading in headings if "?" in heading[:3])
    return table
