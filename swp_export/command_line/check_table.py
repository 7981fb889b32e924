"""What the gates found as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table
from swp_export.figures import readable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from swp_export.gates.report import CheckReport, GateResult

_SMALL = 100_000
"""Bytes; from here on megabytes with three decimals say enough."""
_STYLES = {"passed": None, "missed": "red", "not judged": "yellow"}


def check_tables(report: CheckReport) -> list[RenderableType]:
    """Return the result in one line, unless that is an error, a row for each gate, and why some did not pass."""
    table = new_table(f"Gates of {report.gates}", "~Model", "~Gate", ">Found", ">Asked for", "")
    for model in report.models:
        for number, gate in enumerate(model.gates):
            name = escape(model.name) if not number else ""
            table.add_row(name, gate.gate, *_figures(gate), gate.status, style=_STYLES[gate.status])
    why = [
        f"{model.name}, {gate.gate} {gate.status}: {gate.message}"
        for model in report.models
        for gate in model.gates
        if gate.status != "passed"
    ]
    return [*([report.summary(), ""] if report.passed else []), table, *([""] if why else []), *why]


def _figures(gate: GateResult) -> tuple[str, str]:
    if gate.limit is None:
        return "", ""
    sign = "≥" if gate.gate in {"accuracy", "speedup"} else "≤"
    found = "" if gate.found is None else _figure(gate.found, gate.unit)
    if gate.interval is not None:
        found += f" ({gate.interval[0]:.2f} to {gate.interval[1]:.2f})"
    return found, f"{sign} {_figure(gate.limit, gate.unit)}"


def _figure(value: float, unit: str) -> str:
    match unit:
        case "bytes":
            return f"{value / 1e6:.3f} MB" if value >= _SMALL else f"{value:,.0f} bytes"
        case "parameters":
            return f"{value:,.0f}"
        case "FLOPs":
            return f"{value / 1e6:,.2f} M"
        case "%":
            return f"{value:.2f} %"
        case "x":
            return f"{value:.2f}x"
        case "of the budget":
            return f"{readable(value)} of budget"
    return f"{readable(value, 3)} {unit}"
