"""The command `inspect`: what is in a file."""

from __future__ import annotations

import click

from swp_export.command_line.options import JSON, THRESHOLD, options


@click.command()
@click.argument("file")
@options(THRESHOLD, JSON)
def inspect(*, file: str, threshold: float | None, as_json: bool) -> None:
    """Show what is in FILE: architecture, layers, skeletons of a checkpoint or an ONNX model; curves of a log.jsonl."""
    from swp_export.command_line.inspect_table import inspect_tables
    from swp_export.command_line.terminal import print_report
    from swp_export.command_line.training_table import log_tables
    from swp_export.inspection.inspect import inspect as run
    from swp_export.training.log import TrainingLog

    report = run(file, threshold=threshold)
    if isinstance(report, TrainingLog):
        print_report(report, log_tables, as_json=as_json)
    else:
        print_report(report, inspect_tables, as_json=as_json)
