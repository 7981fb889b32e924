"""A verification as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from swp_export.verification.budget import FACTOR, ULPS

if TYPE_CHECKING:
    from swp_export.verification.report import VerificationReport


def verify_table(report: VerificationReport) -> Table:
    """Return one line per comparison."""
    table = Table(
        title=f"{escape(report.model)} against {escape(report.reference)}, in float64",
        caption=f"default budget, per channel: {FACTOR:g} times what rounding explains, at least {ULPS} ulp",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("Input")
    for heading in ("Shape", "Largest error", "float32's own", "Budget", "Error / budget"):
        table.add_column(heading, justify="right")
    table.add_column("")
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
