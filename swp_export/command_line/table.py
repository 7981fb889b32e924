"""An empty table, as all of them look."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Column, Table


def new_table(title: str, *headings: str, caption: str | None = None) -> Table:
    """Return an empty table; numbers stand below a heading that begins with ">", long names below one with "~"."""
    columns = [
        Column(
            heading.lstrip(">~"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold" if heading.startswith("~") else "ellipsis",
        )
        for heading in headings
    ]
    return Table(
        *columns, title=escape(title), caption=caption and escape(caption), title_justify="left", caption_justify="left"
    )
