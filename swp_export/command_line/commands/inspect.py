"""The command `inspect`: what is in a file."""

from __future__ import annotations

import click

from swp_export.command_line.options import FILE, JSON, THRESHOLD, VERBOSITY, examples, options


@click.command(
    epilog=examples(
        "swp-export inspect best.pth.tar",
        "swp-export inspect best.pth.tar --threshold 0.01",
        "swp-export inspect small.onnx",
        "swp-export inspect runs/resnet20/log.jsonl",
    )
)
@click.argument("file", type=FILE)
@options(THRESHOLD, VERBOSITY, JSON)
def inspect(*, file: str, threshold: float | None, as_json: bool) -> None:
    """Show what is in FILE, and draw its skeletons.

    FILE is a checkpoint (architecture, layers, how the skeletons' values lie, and so which threshold to take), an ONNX
    model (layers, what could be pruned), or the log.jsonl of a training (its curves). Writes nothing.
    """
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
