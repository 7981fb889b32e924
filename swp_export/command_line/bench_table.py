"""A benchmark as tables for the terminal."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from swp_export.benchmark.accuracies import ModelAccuracy
    from swp_export.benchmark.layer_profile import LayerTime
    from swp_export.benchmark.report import BenchReport
    from swp_export.runtime.target import Target

_STYLES = {"faster": "green", "slower": "red", "not distinguishable": "yellow"}
_MAIN_OPERATORS = 3


def bench_tables(report: BenchReport) -> list[Table]:
    """Return the tables of `report`: latency, ratios if there are any, and what is known of each model inside."""
    names = short_names([result.model for result in report.models])
    tables = [_latency_table(report, names)]
    if report.ratios:
        tables.append(_ratio_table(report, names))
    if report.accuracies:
        tables.append(_accuracy_table(report.accuracies, names))
    tables += [
        _placement_table(f"{names[result.model]}: what ran where", result.placement)
        for result in report.models[: len(report.models) // len(report.targets)]
        if result.placement is not None
    ]
    tables += [
        _layer_table(f"{names[result.model]}, {_target(result.target)}: where the time goes", result.layers)
        for result in report.models
        if result.layers is not None
    ]
    return tables


def conditions(report: BenchReport) -> str:
    """Return, on one line, the conditions that the figures of `report` were taken under."""
    environment = report.environment
    where = environment.gpu or environment.cpu.model
    numbers = list(dict.fromkeys(target.threads for target in report.targets))
    threads = f"{' and '.join(map(str, numbers))} thread{'s' if numbers != [1] else ''}"
    threads = f"{report.streams} streams of one thread" if report.streams > 1 else threads
    tf32 = f", TF32 {'on' if environment.options['tf32'] else 'off'}" if "tf32" in environment.options else ""
    return f"{report.provider} on {where}, {threads}{tf32}, {environment.runtime}, clock {environment.clock['source']}"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return for each path its file name, or the path itself where two different paths share the file name."""
    owners: dict[str, set[str]] = {}
    for path in paths:
        owners.setdefault(PurePath(path).name, set()).add(path)
    return {path: PurePath(path).name if len(owners[PurePath(path).name]) == 1 else path for path in paths}


def _latency_table(report: BenchReport, names: dict[str, str]) -> Table:
    title = "Latency" if report.streams == 1 else f"Latency in {report.streams} streams, throughput of all"
    headings = ["~Model", *_conditions(report), ">Median ms", ">p90 ms", ">p99 ms", ">Images/s", ">Runs"]
    if any(result.transfer is not None for result in report.models):
        headings += [">To device ms", ">From device ms"]
    table = new_table(title, *headings, caption=conditions(report))
    for result in report.models:
        latency = result.latency
        times = (latency.median_ms, latency.p90_ms, latency.p99_ms)
        row = [escape(names[result.model]), *_cells(report, result.target.threads, result.target.batch)]
        row += [*map(_milliseconds, times), _count(result.images_per_second), str(latency.runs)]
        if result.transfer is not None:
            row += [_milliseconds(result.transfer.to_device_ms), _milliseconds(result.transfer.from_device_ms)]
        table.add_row(*row)
    return table


def _ratio_table(report: BenchReport, names: dict[str, str]) -> Table:
    of_streams = "" if report.streams == 1 else ", by throughput"
    headings = ["~Model", *_conditions(report), ">Speedup", ">95 % interval", "Verdict"]
    table = new_table(f"Against {names[report.ratios[0].baseline]}{of_streams}", *headings)
    for row in report.ratios:
        verdict = row.verdict
        table.add_row(
            escape(names[row.model]),
            *_cells(report, row.threads, row.batch),
            f"{row.speedup:.2f}x",
            f"{row.low:.2f} to {row.high:.2f}",
            f"[{_STYLES[verdict]}]{verdict}[/]",
        )
    return table


def _conditions(report: BenchReport) -> list[str]:
    """Return the headings of what differs from row to row beside the model; the batch always stands there."""
    return [">Threads", ">Batch"] if len({target.threads for target in report.targets}) > 1 else [">Batch"]


def _cells(report: BenchReport, threads: int, batch: int) -> list[str]:
    return [str(threads), str(batch)][-len(_conditions(report)) :]


def _target(target: Target) -> str:
    threads = f", {target.threads} threads" if target.threads > 1 else ""
    return f"batch {target.batch}{threads}"


def _placement_table(title: str, placement: Mapping[str, Mapping[str, int]]) -> Table:
    table = new_table(title, "Provider", ">Nodes", "Operators")
    for provider, operators in placement.items():
        names = ", ".join(f"{escape(operator)} {count}" for operator, count in operators.items())
        table.add_row(provider, str(sum(operators.values())), names)
    return table


def _accuracy_table(accuracies: Sequence[ModelAccuracy], names: Mapping[str, str]) -> Table:
    caption = f"on {accuracies[0].accuracy.data}; changed: predictions, against the first"
    table = new_table("Accuracy", "~Model", ">Right", ">Changed", caption=caption)
    for each in accuracies:
        right = "no labels" if each.accuracy.after is None else f"{each.accuracy.after:.2f} %"
        table.add_row(escape(names[each.model]), right, f"{each.accuracy.changed:,} of {each.accuracy.predictions:,}")
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


def _count(value: float) -> str:
    """Spell three significant digits of what may be large, without exponent."""
    return f"{value:.3g}" if value < 1000 else f"{round(value, 2 - int(math.log10(value))):.0f}"
