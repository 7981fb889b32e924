"""`--report FILE.html`: the page of what a command reports."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from swp_export.atomic import atomic_outputs
from swp_export.command_line.terminal import document_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swp_export.command_line.terminal import Report

REPORT = click.option(
    "--report",
    "page",
    metavar="FILE.html",
    type=click.Path(),
    help="Also write what is found as one HTML page with pictures.",
)


@contextlib.contextmanager
def page_file(path: str | None, *, force: bool) -> Iterator[Callable[[Report], None]]:
    """Yield what writes a report as the page at `path`, if that is one; check first that it can be written.

    Raises:
        InputError: a package that draws is missing.
        OutputError: the file exists, or cannot be written.

    """
    if path is None:
        yield lambda _: None
        return
    from swp_export.page.page import page_of, require_packages

    require_packages()
    with atomic_outputs(path, inputs=(), force=force) as (file,):
        assert file is not None

        def write(report: Report) -> None:
            file.write_text(page_of([document_of(report)]), encoding="utf-8")

        yield write
