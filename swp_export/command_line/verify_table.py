"""A verification as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table
from swp_export.verification.budget import FACTOR, ULPS
from swp_export.verification.quantised import QuantisedReport

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.verification.report import VerificationReport


def verify_tables(report: VerificationReport | QuantisedReport) -> list[RenderableType]:
    """Return one row per comparison, of a quantised model one per layer, and the result in one line."""
    return [
        _layer_table(report) if isinstance(report, QuantisedReport) else _case_table(report),
        report.summary(),
    ]


def _layer_table(report: QuantisedReport) -> Table:
    headings = ("Layer", ">Values", ">Steps off", ">Allowed", ">Signal to noise", "")
    caption = "steps: from an integer reference; noise: of rounding, against the float network"
    table = new_table(f"{report.model} against {report.reference}", *headings, caption=caption)
    noise = {layer.layer: f"{layer.snr_db:.1f} dB" for layer in report.noise}
    strange = {stranger.layer: f"{len(stranger.filters)} filters of another network" for stranger in report.strangers}
    for layer in dict.fromkeys(each.layer for each in report.steps):
        steps = [each for each in report.steps if each.layer == layer]
        off = sum(each.off for each in steps)
        state = f"{off} off" if off else strange.get(layer, "ok")
        allowed = f"{min(each.allowed for each in steps)} to {max(each.allowed for each in steps)}"
        cells = (str(len(steps)), str(max(each.steps for each in steps)), allowed, noise.get(layer, ""), state)
        table.add_row(escape(layer) or "(others)", *cells, style=None if state == "ok" else "red")
    return table


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
