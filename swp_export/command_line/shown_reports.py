"""Reports outside the program: what `print`, rich and a notebook show of them is what the program prints."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from swp_export.benchmark.report import BenchReport
from swp_export.command_line.bench_table import bench_tables
from swp_export.command_line.check_table import check_tables
from swp_export.command_line.doctor_table import doctor_tables
from swp_export.command_line.inspect_table import inspect_tables
from swp_export.command_line.prune_table import prune_tables
from swp_export.command_line.sweep_table import sweep_tables
from swp_export.command_line.terminal import PLAIN_WIDTH, laid_out, measures_columns
from swp_export.command_line.training_table import log_tables, train_tables
from swp_export.command_line.tune_table import tune_tables
from swp_export.command_line.verify_table import verify_tables
from swp_export.gates.report import CheckReport
from swp_export.inspection.report import InspectReport
from swp_export.page.pictures import pictures_of
from swp_export.pruning.report import PruneReport
from swp_export.runtime.doctor import DoctorReport
from swp_export.sweeping.report import SweepReport
from swp_export.training.log import TrainingLog
from swp_export.training.report import TrainReport
from swp_export.tuning.report import TuneReport
from swp_export.verification.quantised import QuantisedReport
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TABLES: Mapping[type, Callable[[Any], Iterable[RenderableType]]] = {
    BenchReport: bench_tables,
    CheckReport: check_tables,
    DoctorReport: doctor_tables,
    InspectReport: inspect_tables,
    PruneReport: prune_tables,
    QuantisedReport: verify_tables,
    SweepReport: sweep_tables,
    TrainReport: train_tables,
    TrainingLog: log_tables,
    TuneReport: tune_tables,
    VerificationReport: verify_tables,
}
"""What the program prints of each report."""
WARNINGS: Mapping[type, Callable[[Any], Sequence[str]]] = {
    BenchReport: lambda report: report.remarks,
    PruneReport: lambda report: [*report.warnings, *(report.verification.notes if report.verification else ())],
    SweepReport: lambda report: [*([report.problem] if report.problem else ()), *_of_written(report)],
    TuneReport: lambda report: report.verification.notes,
    VerificationReport: lambda report: report.notes if report.equivalent else [report.summary(), *report.notes],
}
"""What it says beside that, on standard error."""
_PRE = '<pre style="line-height:1.25;overflow-x:auto;white-space:pre">{code}</pre>'


def renderable(report: Any) -> RenderableType:
    """Return the warnings and tables of `report` for rich; its short line where there are none."""
    kind = type(report)
    if kind not in TABLES:
        return Text(repr(report))
    warnings = WARNINGS[kind](report) if kind in WARNINGS else ()
    return Group(
        *laid_out([*(Text(f"Warning: {warning}", style="yellow") for warning in warnings), *TABLES[kind](report)])
    )


def text(report: Any) -> str:
    """Return `renderable` as text, as wide as the terminal, in characters that standard output can show."""
    console = Console(width=None if measures_columns() else PLAIN_WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(renderable(report))
    return capture.get().rstrip("\n")


def html(report: Any) -> str:
    """Return `renderable` as HTML, and its layers' pictures where it has any."""
    console = Console(file=io.StringIO(), record=True, width=PLAIN_WIDTH, force_jupyter=False, highlight=False)
    console.print(renderable(report))
    tables = console.export_html(inline_styles=True, code_format=_PRE)
    return tables + (pictures_of(report.to_json()) if type(report) in TABLES else "")


def _of_written(report: SweepReport) -> tuple[str, ...]:
    return () if report.written is None else report.written.warnings
