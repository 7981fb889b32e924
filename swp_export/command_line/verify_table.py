"""A verification as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table
from swp_export.verification.budget import FACTOR, ULPS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.verification.report import VerificationReport


def verify_tables(report: VerificationReport) -> list[RenderableType]:
    """Return one row per comparison, and the result in one line."""
    accuracy = [] if report.accuracy is None else [report.accuracy.summary()]
    return [_case_table(report), report.summary(), *accuracy]


def _case_table(report: VerificationReport) -> Table:
    headings = ("Input", ">Shape", ">Largest error", ">float32's own", ">Budget", ">Error / budget", "")
    caption = f"default budget, per channel: {FACTOR:g} times what rounding explains, at least {ULPS} ulp"
    table = new_table(f"{report.model} against {report.reference}, in float64", *headings, caption=caption)
    for case in report.cases:
        shape = "x".join(str(size) for size in case.input_shape)
        if case.undecided is not None:
            table.add_row(escape(case.case), shape, "", "", "", "", escape(f"undecided: {case.undecided}"), style="dim")
            continue
        style = None if case.ok else "red"
        table.add_row(
            escape(case.case),
            shape,
            f"{case.max_abs_error:.2g}",
            f"{case.reference_error:.2g}",
            f"{case.budget:.2g}",
            f"{case.error_to_budget:.2f}",
            "ok" if case.ok else escape(case.problem or f"{case.exceeding} of {case.elements} off"),
            style=style,
        )
    return table
