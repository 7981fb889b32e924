"""Reports that show themselves: tables in a terminal, tables and drawings in a notebook, one short line elsewhere.

How they are drawn is the command line's knowledge, which stands at the end of all stages. So the package's front, which
Python runs before any of its modules, says here who draws; nobody does until a report is to be seen.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

_LONGEST = 40
"""Characters of a value in the short line."""


class Shower(Protocol):
    """Draws reports."""

    def renderable(self, report: Any, /) -> RenderableType:
        """Return what rich prints for `report`."""

    def text(self, report: Any, /) -> str:
        """Return `report` as `print` shows it, without colours."""

    def html(self, report: Any, /) -> str:
        """Return `report` as a notebook shows it."""


_find: list[Callable[[], Shower]] = []


def show_with(find: Callable[[], Shower]) -> None:
    """Let reports be drawn by what `find` returns; it is called when the first one is."""
    _find[:] = [find]


class Shown:
    """A report, a dataclass with `repr=False`: `print` and rich show its tables, a notebook drawings too."""

    def __rich__(self) -> RenderableType:
        return _find[0]().renderable(self)

    def _repr_html_(self) -> str:
        return _find[0]().html(self)

    def __str__(self) -> str:
        return _find[0]().text(self)

    def __repr__(self) -> str:
        """Return one short line: plain values are spelled, of collections the length, and nothing of what is None."""
        assert dataclasses.is_dataclass(self)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        told = [f"{name}={_short(value)}" for name, value in values.items() if value is not None]
        return f"{type(self).__name__}({', '.join(told)})"


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) > _LONGEST:
        return repr(f"{value[: _LONGEST - 3]}...")
    if isinstance(value, str | int):
        return repr(value)
    if isinstance(value, float):
        return f"{value:g}"
    return f"<{len(value)}>" if isinstance(value, tuple | list | dict) else f"<{type(value).__name__}>"
