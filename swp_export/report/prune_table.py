"""What `prune` did as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport


def prune_tables(report: PruneReport) -> list[Table]:
    """Return the tables of `report`: one line per layer, and the totals."""
    return [_layer_table(report), _total_table(report)]


def _layer_table(report: PruneReport) -> Table:
    table = Table(title=f"Layers of {escape(report.source)}", title_justify="left")
    table.add_column("Layer")
    for heading in ("Filters", "Stripes", "Live", "MFLOPs"):
        table.add_column(heading, justify="right")
    table.add_column("Written as")
    table.add_column("Because", overflow="fold")
    for layer in report.layers:
        table.add_row(
            escape(layer.name),
            f"{layer.live_filters} of {layer.filters}",
            f"{layer.live_stripes} of {layer.stripes}",
            _percent(layer.live_stripes, layer.stripes),
            f"{layer.flops / 1e6:.2f}",
            layer.lowering,
            layer.reason,
        )
    return table


def _total_table(report: PruneReport) -> Table:
    totals = report.totals
    table = Table(title="In total", title_justify="left")
    for heading in ("", "Before", "After", "Removed"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row(
        "Parameters",
        f"{totals.params_before:,}",
        f"{totals.params_after:,}",
        f"{totals.params_removed_percent:.1f} %",
    )
    table.add_row(
        "MFLOPs, the paper's count",
        f"{totals.flops_before / 1e6:.2f}",
        f"{totals.flops_after / 1e6:.2f}",
        f"{totals.flops_removed_percent:.1f} %",
    )
    table.add_row(
        "MFLOPs, executed",
        f"{totals.flops_before / 1e6:.2f}",
        f"{totals.executed_flops / 1e6:.2f}",
        f"{100 * (1 - totals.executed_flops / totals.flops_before):.1f} %",
    )
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
