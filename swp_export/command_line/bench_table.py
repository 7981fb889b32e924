"""A benchmark as tables for the terminal."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from swp_export.benchmark.layer_profile import LayerTime
    from swp_export.benchmark.report import BenchReport

_STYLES = {"faster": "green", "slower": "red", "not distinguishable": "yellow"}
_MAIN_OPERATORS = 3


def bench_tables(report: BenchReport) -> list[Table]:
    """Return the tables of `report`: latency, ratios if there are any, and one of layers for each model that has it."""
    names = short_names([result.model for result in report.models])
    tables = [_latency_table(report, names)]
    if report.ratios:
        tables.append(_ratio_table(report, names))
    tables += [
        _layer_table(f"{names[result.model]}, batch {result.batch}: where the time goes", result.layers)
        for result in report.models
        if result.layers is not None
    ]
    return tables


def conditions(report: BenchReport) -> str:
    """Return, on one line, the conditions that the figures of `report` were taken under."""
    environment = report.environment
    where = environment.gpu or environment.cpu.model
    threads = f"{report.target.threads} thread{'s' if report.target.threads > 1 else ''}"
    tf32 = f", TF32 {'on' if environment.options['tf32'] else 'off'}" if "tf32" in environment.options else ""
    return f"{report.provider} on {where}, {threads}{tf32}, {environment.runtime}, clock {environment.clock['source']}"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return for each path its file name, or the path itself where two different paths share the file name."""
    owners: dict[str, set[str]] = {}
    for path in paths:
        owners.setdefault(PurePath(path).name, set()).add(path)
    return {path: PurePath(path).name if len(owners[PurePath(path).name]) == 1 else path for path in paths}


def _latency_table(report: BenchReport, names: dict[str, str]) -> Table:
    headings = ["~Model", ">Batch", ">Median ms", ">p90 ms", ">p99 ms", ">IQR ms", ">Runs"]
    if any(result.transfer is not None for result in report.models):
        headings += [">To device ms", ">From device ms"]
    table = new_table("Latency", *headings, caption=conditions(report))
    for result in report.models:
        latency = result.latency
        times = (latency.median_ms, latency.p90_ms, latency.p99_ms, latency.iqr_ms)
        row = [escape(names[result.model]), str(result.batch), *map(_milliseconds, times), str(latency.runs)]
        if result.transfer is not None:
            row += [_milliseconds(result.transfer.to_device_ms), _milliseconds(result.transfer.from_device_ms)]
        table.add_row(*row)
    return table


def _ratio_table(report: BenchReport, names: dict[str, str]) -> Table:
    baseline = names[report.ratios[0].baseline]
    table = new_table(f"Against {baseline}", "~Model", ">Batch", ">Speedup", ">95 % interval", "Verdict")
    for row in report.ratios:
        verdict = row.verdict
        table.add_row(
            escape(names[row.model]),
            str(row.batch),
            f"{row.speedup:.2f}x",
            f"{row.low:.2f} to {row.high:.2f}",
            f"[{_STYLES[verdict]}]{verdict}[/]",
        )
    return table


def _layer_table(title: str, layers: tuple[LayerTime, ...]) -> Table:
    table = new_table(title, "~Layer", ">Time", ">FLOPs", ">MFLOPs", "Kernels")
    for layer in layers:
        kernels = list(layer.operators.items())[:_MAIN_OPERATORS]
        table.add_row(
            escape(layer.layer),
            f"{layer.time_share:.1%}",
            f"{layer.flops_share:.1%}",
            f"{layer.flops / 1e6:.2f}",
            ", ".join(f"{escape(operator)} {share:.0%}" for operator, share in kernels),
        )
    return table


def _milliseconds(value: float) -> str:
    """Spell three significant digits: between a microsecond and a second nobody reads more."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
