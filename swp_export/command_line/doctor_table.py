"""What `doctor` found as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.runtime.doctor import DoctorReport, Package

_YES = "[green]yes[/]"
_NO = "[red]no[/]"


def doctor_tables(report: DoctorReport) -> list[RenderableType]:
    """Return what this machine is for, devices, the processor, packages, and what to do if there is anything to do."""
    tables: list[RenderableType] = [
        f"This machine is for {report.machine} ({report.distribution or 'not installed'})",
        "",
    ]
    tables += [_device_table(report), _cpu_table(report), _package_table(report)]
    todo = (*report.conflicts, *report.advice)
    if todo:
        table = new_table("", "What to do")
        for line in todo:
            table.add_row(escape(line))
        tables.append(table)
    return tables


def _device_table(report: DoctorReport) -> Table:
    table = new_table("Devices", "Device", "Runs a model", "Detail")
    for check in report.providers:
        table.add_row(check.device, _YES if check.works else _NO, escape(check.detail))
    return table


def _cpu_table(report: DoctorReport) -> Table:
    table = new_table(f"{report.cpu.model}, {report.cpu.cores} cores", "Processor", "")
    if report.cpu.features is None:
        table.add_row("vector extensions", "unknown")
        return table
    for feature, present in report.cpu.features.items():
        table.add_row(feature, _YES if present else "no")
    return table


def _package_table(report: DoctorReport) -> Table:
    table = new_table(f"Python {report.python} on {report.platform}", "Package", "Version", "Needed for")
    for package in report.packages:
        table.add_row(escape(package.name), _version(package), escape(package.purpose))
    return table


def _version(package: Package) -> str:
    if package.version is not None:
        return escape(package.version)
    if not package.wanted:
        return "left out"
    return "[yellow]not installed (optional)[/]" if package.optional else "[red]missing[/]"
