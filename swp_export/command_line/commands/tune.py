"""The command `tune`: from a portable model to the fastest one on this device."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import DATA, DEVICE, FORCE, INPUT_SHAPE, JSON, TF32, THREADS, options
from swp_export.command_line.page_file import REPORT


@click.command()
@click.argument("model")
@options(DEVICE, THREADS)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images per run.")
@click.option("-o", "--output", metavar="FILE", help="The model to write; default: MODEL's name with -tuned, here.")
@click.option("--plan-out", metavar="FILE", help="Also write the plan; `prune --plan` makes the same model of it.")
@click.option("--seconds", type=click.FloatRange(0), default=60, show_default=True, help="Time to search.")
@options(INPUT_SHAPE, TF32, DATA, DATASET, REPORT, FORCE, JSON)
def tune(*, model: str, page: str | None, as_json: bool, **arguments: Any) -> None:
    """Write the fastest verified form of MODEL for this device.

    MODEL is one that `prune` or `tune` wrote. Each layer's forms are measured here, then refined in the whole model.
    Needs no torch.
    """
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.terminal import print_report, print_warnings, progress
    from swp_export.command_line.tune_table import tune_tables
    from swp_export.tuning.tune import tune as run

    with page_file(page, force=arguments["force"]) as write_page:
        with progress() as show:
            report = run(model, progress=show, **arguments)
        write_page(report)
    print_warnings(report.verification.notes)
    print_report(report, tune_tables, as_json=as_json)
