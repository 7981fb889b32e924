"""What `prune` did as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.kept_lines import kept_lines
from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.pruning.report import PruneReport


def prune_tables(report: PruneReport) -> list[RenderableType]:
    """Return the totals, the written files with what was proved of them, one row per layer, and what stayed and why."""
    lines = [f"{report.model}: {report.bytes / 1e6:.2f} MB, sha256 {report.sha256[:16]}"]
    if report.dense is not None:
        lines.append(f"{report.dense}: the network before pruning")
    if report.verification is not None:
        lines.append(report.verification.summary())
    if report.accuracy is not None:
        lines.append(report.accuracy.summary())
    kept = kept_lines(report.kept)
    said = [*lines, report.claim(), report.advice()]
    return [_total_table(report), "", *said, "", _layer_table(report), *([""] if kept else []), *kept]


def _layer_table(report: PruneReport) -> Table:
    headings = ("~Layer", ">Filters", ">Stripes", ">Live", "Written as", "?Because", ">?MFLOPs")
    table = new_table(f"Layers of {report.source}", *headings, caption="Filters, Stripes: live ones of all")
    for layer in report.layers:
        table.add_row(
            escape(layer.name),
            f"{layer.live_filters}/{layer.filters}",
            f"{layer.live_stripes}/{layer.stripes}",
            _percent(layer.live_stripes, layer.stripes),
            layer.lowering,
            layer.reason,
            f"{layer.paper_flops / 1e6:.2f}",
        )
    return table


def _total_table(report: PruneReport) -> Table:
    totals = report.totals
    table = new_table("In total", "", ">Before", ">After", ">Removed")
    params, flops = (totals.params_before, totals.params_after), (totals.flops_before, totals.flops_after)
    _compare(table, "Parameters in the file", *params)
    if totals.helper_params:
        table.add_row("  of them in matrices of 0 and 1", "", f"{totals.helper_params:,}", "")
    _compare(table, "Parameters, the paper's count", totals.paper_params_before, totals.paper_params_after)
    _compare(table, "MFLOPs executed", *flops, unit=1e6)
    table.add_row("  with every addition", "", f"{totals.executed_flops / 1e6:,.2f}", "")
    _compare(table, "MFLOPs, the paper's count", totals.paper_flops_before, totals.paper_flops_after, unit=1e6)
    return table


def _compare(table: Table, name: str, before: int, after: int, unit: float = 1) -> None:
    numbers = [f"{n:,}" if unit == 1 else f"{n / unit:,.2f}" for n in (before, after)]
    table.add_row(name, *numbers, f"{100 * (1 - after / before):.1f} %")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
