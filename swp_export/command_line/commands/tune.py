"""The command `tune`: from a portable model to the fastest one on this device."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import (
    CALIBRATION,
    DATA,
    DEVICE,
    FILE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    MAX_ACCURACY_DROP,
    PRECISION,
    TF32,
    THREADS,
    UNPRUNED,
    VERBOSITY,
    examples,
    options,
)
from swp_export.command_line.page_file import REPORT


@click.command(
    epilog=examples(
        "swp-export tune small.onnx -o fast.onnx",
        "swp-export tune small.onnx --threads 4 --batch 8 --seconds 120",
        "swp-export tune small.onnx --plan-out plan.json",
        "swp-export tune small.onnx --precision int8 --data images.npz",
    )
)
@click.argument("model", type=FILE)
@options(DEVICE, THREADS)
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="How many images one run takes."
)
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write. Default: MODEL's name with -tuned, in this folder.",
)
@click.option(
    "--plan-out",
    type=FILE,
    metavar="FILE",
    help="Also write down which form each layer got; `prune --plan FILE` makes the same model of it.",
)
@click.option(
    "--seconds", type=click.FloatRange(0), default=60, show_default=True, metavar="S", help="How long to search."
)
@options(INPUT_SHAPE, TF32, DATA, DATASET)
@options(PRECISION, CALIBRATION, MAX_ACCURACY_DROP, UNPRUNED, REPORT, FORCE, VERBOSITY, JSON)
def tune(*, model: str, page: str | None, as_json: bool, **arguments: Any) -> None:
    """Write the fastest verified form of MODEL for this device.

    MODEL is one that `prune` or `tune` wrote. A layer can be written in several forms that compute the same; each is
    measured here, alone and then in the whole model. Needs no torch.
    """
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report, print_warnings
    from swp_export.command_line.tune_table import tune_tables
    from swp_export.tuning.tune import tune as run

    with page_file(page, force=arguments["force"]) as write_page:
        with progress(measuring=True) as show:
            report = run(model, progress=show, **arguments)
        write_page(report)
    print_warnings(report.verification.notes)
    print_report(report, tune_tables, as_json=as_json)
