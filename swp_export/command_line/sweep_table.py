"""A sweep as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.command_line.table import new_table
from swp_export.sweeping.forms import FORMS

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.sweeping.point import SweepPoint
    from swp_export.sweeping.report import SweepReport


def sweep_tables(report: SweepReport) -> list[RenderableType]:
    """Return one row a threshold, which one is taken and why, and what was written."""
    lines: list[RenderableType] = [_table(report)]
    if report.recalibrated is not None:
        lines.append(f"BatchNorm's statistics were estimated anew on {report.recalibrated}")
    if report.chosen is not None:
        form = f", written as --lowering {report.chosen.form}" if FORMS[report.chosen.form] else ""
        lines.append(f"threshold {report.chosen.threshold:g}{form}: {report.chosen.reason}")
    if report.targets.any():
        lines.append(f"without targets {report.recommended.threshold:g}: {report.recommended.reason}")
    if report.written is not None:
        written = report.written
        lines.append(f"{written.model}: {written.bytes / 1e6:.2f} MB, sha256 {written.sha256[:16]}")
        lines += [] if written.verification is None else [written.verification.summary()]
        lines.append(written.claim())
    return lines


def _table(report: SweepReport) -> Table:
    accurate = report.unpruned.correct is not None
    changed = report.unpruned.accuracy is not None
    forms = list(report.unpruned.latency)
    headings = ["", ">Threshold", ">Live", ">Params", ">MFLOPs", ">Paper's", ">MB", ">Error"]
    headings += [">Correct"] * accurate + [">Changed"] * changed
    for form in forms:
        headings += [f">ms, {form}" if len(forms) > 1 else ">ms", ">Speedup"]
    caption = (
        f"Live: stripes. MFLOPs: executed; by the paper's count. Error: by the largest output, on {report.error_on}. "
        "*: taken. +: no other is both cheaper and better."
    )
    table = new_table(f"Thresholds of {report.source}", *headings, caption=caption)
    front = {*report.front("flops"), *report.front("latency")}
    for point in (report.unpruned, *report.points):
        taken = report.chosen is not None and point.threshold == report.chosen.threshold
        mark = "*" if taken else "+" if point.threshold in front else ""
        cells = [mark, *_cells(point)]
        cells += [f"{point.correct:.2f} %"] if point.correct is not None else []
        cells += [f"{point.accuracy.changed:,}"] if point.accuracy is not None else []
        for form in forms:
            measured = point.latency[form]
            cells += [_milliseconds(measured.latency.median_ms), f"{measured.speedup.speedup:.2f}x"]
        table.add_row(*cells, style="bold" if taken else None)
    return table


def _cells(point: SweepPoint) -> list[str]:
    return [
        "unpruned" if point.threshold is None else f"{point.threshold:g}",
        f"{100 * point.live_stripes / point.stripes:.1f} %",
        _short(point.params),
        f"{point.flops / 1e6:.3g}",
        f"{point.paper_flops / 1e6:.3g}",
        f"{point.bytes / 1e6:.2f}",
        "infinite" if point.error is None else f"{point.error:.1g}",
    ]


def _short(count: int) -> str:
    return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.1f}K"


def _milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
