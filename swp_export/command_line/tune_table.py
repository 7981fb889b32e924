"""What `tune` found as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.benchmark.statistics import Speedup
    from swp_export.tuning.report import TuneReport


def tune_tables(report: TuneReport) -> list[RenderableType]:
    """Return what the tuned model gains, whether it is equivalent, and one row per layer."""
    compared = f"{report.model}: {report.tuned.variants} variants of the whole model were compared"
    quantised = report.tuned.quantised
    rounding = [] if quantised is None else [quantised.summary()]
    accuracy = [] if report.accuracy is None or quantised is not None else [report.accuracy.summary()]
    said = [compared, *rounding, report.verification.summary(), *_thread_lines(report), *accuracy]
    return [_gain_table(report), "", *said, "", _layer_table(report)]


def _thread_lines(report: TuneReport) -> list[str]:
    if report.tuned.threads == report.threads:
        return []
    return [f"run it on one thread: on {report.threads} no form is shown to be faster"]


def _layer_table(report: TuneReport) -> Table:
    headings = ("~Layer", "Written as", ">µs alone", ">µs dense", "?Fastest alone")
    caption = "alone: the layer by itself with a ReLU; in the model its neighbours decide"
    table = new_table(f"Plan of {report.model}", *headings, caption=caption)
    for layer, lowering in report.tuned.plan.layers.items():
        times = {c.lowering: c.median_ms for c in report.tuned.candidates if c.layer == layer}
        fastest = min(times, key=lambda name: times[name], default="")
        table.add_row(
            escape(layer), lowering, _microseconds(times.get(lowering)), _microseconds(times.get("dense")), fastest
        )
    return table


def _gain_table(report: TuneReport) -> Table:
    table = new_table("In one run", "Tuned against", ">Speedup", ">95 % interval", ">Verdict")
    rivals = {"the input model": report.tuned.over_input, **report.tuned.over_rivals}
    if not report.tuned.over_rivals:
        rivals["compact dense"] = report.tuned.over_dense
    for name, gain in rivals.items():
        table.add_row(name, *_cells(gain))
    return table


def _cells(gain: Speedup) -> tuple[str, str, str]:
    return f"{gain.speedup:.2f}x", f"{gain.low:.2f} to {gain.high:.2f}", gain.verdict


def _microseconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{1e3 * milliseconds:.1f}"
