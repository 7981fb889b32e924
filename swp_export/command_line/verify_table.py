"""A verification as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table
from swp_export.figures import readable
from swp_export.verification.budget import FACTOR, ULPS
from swp_export.verification.quantised import QuantisedReport

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.verification.comparison import CaseResult
    from swp_export.verification.report import VerificationReport

_DEFAULT = f"Budget: {FACTOR:g} times what rounding explains, per channel, at least {ULPS} ulp"


def verify_tables(
    report: VerificationReport | QuantisedReport, *, atol: float | None = None, rtol: float | None = None
) -> list[RenderableType]:
    """Return the result in one line, unless that is an error, and one row per comparison.

    Args:
        report: of the verification.
        atol: that replaced the budget, together with `rtol`.
        rtol: see `atol`.

    """
    if isinstance(report, QuantisedReport):
        table = _layer_table(report)
        return [report.summary(), "", table] if report.equivalent else [table]
    caption = _DEFAULT if atol is None or rtol is None else f"Budget: {atol:g} + {rtol:g} * |value|, as asked for"
    table = _case_table(report, caption)
    said = [] if report.accuracy is None else [report.accuracy.summary()]
    said = [report.summary(), *said] if report.equivalent else said
    return [*said, "", table] if said else [table]


def _case_table(report: VerificationReport, caption: str) -> Table:
    several = len({case.output for case in report.cases}) > 1
    outputs = ("~Output",) if several else ()
    headings = (
        "~Input",
        *outputs,
        ">?Shape",
        ">Largest\nerror",
        ">?float32's\nown error",
        ">Budget",
        ">Of its\nbudget",
        "",
    )
    table = new_table(f"{report.model} against {report.reference}, in float64", *headings, caption=caption)
    for case in report.cases:
        table.add_row(
            escape(case.case),
            *([escape(case.output)] if several else []),
            "x".join(map(str, case.input_shape)),
            *_figures(case),
            style="dim" if case.undecided is not None else None if case.ok else "red",
        )
    return table


def _layer_table(report: QuantisedReport) -> Table:
    headings = ("~Layer", ">Values", ">Steps\noff", ">Allowed", ">Signal to\nnoise", "")
    caption = "Steps: from an integer reference. Noise: of rounding, against the float network"
    table = new_table(f"{report.model} against {report.reference}", *headings, caption=caption)
    noise = {layer.layer: f"{layer.snr_db:.1f} dB" for layer in report.noise}
    strange = {stranger.layer: f"{len(stranger.filters)} filters of another network" for stranger in report.strangers}
    for layer in dict.fromkeys(each.layer for each in report.steps):
        steps = [each for each in report.steps if each.layer == layer]
        off = sum(each.off for each in steps)
        state = f"{off:,} off" if off else strange.get(layer, "ok")
        allowed = f"{min(each.allowed for each in steps)} to {max(each.allowed for each in steps)}"
        cells = (str(len(steps)), str(max(each.steps for each in steps)), allowed, noise.get(layer, ""), state)
        table.add_row(escape(layer) or "(others)", *cells, style=None if state == "ok" else "red")
    return table


def _figures(case: CaseResult) -> tuple[str, ...]:
    if case.undecided is not None:
        return "", "", "", "", escape(f"undecided: {case.undecided}")
    off = escape(case.problem or f"{case.exceeding:,} of {case.elements:,} off")
    errors = map(readable, (case.max_abs_error, case.reference_error, case.budget))
    share = f"{case.error_to_budget:.2f}" if case.error_to_budget < 100 else readable(case.error_to_budget)
    return *errors, share, "ok" if case.ok else off
