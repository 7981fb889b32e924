"""How far a command is: a bar with the time that is left on a terminal, else one line per stage; on standard error."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from swp_export.printable import LONGEST, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars

    from swp_export.progress import Progress

QUIET_KEY = "swp-export: quiet"
"""Where the context of a command says that nobody wants to see progress."""

_SHORTEST = 12
_BESIDE = 48
"""Columns of a terminal for what stands beside the text: the bar, the share and the time."""


@contextlib.contextmanager
def progress(*, measuring: bool = False) -> Iterator[Progress]:
    """Yield a function that shows what is being done: see `swp_export.progress`.

    A stage, for those who read lines, is what stands before the first colon.

    Args:
        measuring: Whether times are measured meanwhile: then the bar moves only when it is told, since a thread that
            moves it would run beside what is measured.

    """
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(QUIET_KEY):
        yield lambda _text, _done=None: None
    elif sys.stderr.isatty():
        with _bars(measuring=measuring) as bars:
            yield _Bar(bars)
    else:
        yield _Lines()


class _Lines:
    """One line for each stage, when it begins."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, text: str, done: float | None = None, /) -> None:  # noqa: ARG002 # lines tell no share
        stage = text.partition(":")[0]
        if stage not in self._seen:
            self._seen.add(stage)
            with contextlib.suppress(OSError, ValueError):  # closed: nobody reads remarks, which is no error
                sys.stderr.write(f"{printable(stage, longest=2 * LONGEST)}\n")
                sys.stderr.flush()


class _Bar:
    """One bar, which begins anew where the share that is done falls back or is not known."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("starting", total=None)
        self._done: float | None = None

    def __call__(self, text: str, done: float | None = None, /) -> None:
        if done is None or self._done is None or done < self._done:
            self._bars.remove_task(self._task)
            self._task = self._bars.add_task("", total=None if done is None else 1.0)
        self._done = done
        self._bars.update(self._task, description=self._fitted(text), completed=done or 0.0)
        if not self._bars.live.auto_refresh:
            self._bars.refresh()

    def _fitted(self, text: str) -> str:
        from rich.markup import escape

        text = printable(text)
        columns = max(_SHORTEST, self._bars.console.width - _BESIDE)
        return escape(text if len(text) <= columns else text[: columns - 1] + "…")


def _bars(*, measuring: bool) -> Bars:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        auto_refresh=not measuring,
    )
