"""The command `prune`: from a checkpoint, or an ONNX file with dead stripes, to a portable model."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import (
    ARCH,
    DATA,
    FILE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    LOWERING,
    MAX_ACCURACY_DROP,
    PRECISION,
    THRESHOLD,
    VERBOSITY,
    Device,
    examples,
    options,
)
from swp_export.command_line.page_file import REPORT
from swp_export.runtime.target import KINDS
from swp_export.verification.report import NotEquivalentError


@click.command(
    epilog=examples(
        "swp-export prune best.pth.tar --threshold 0.01 -o small.onnx",
        "swp-export prune pruned.pth.tar -o small.onnx --dense-out dense.onnx",
        "swp-export prune best.pth --arch my_networks:make --input-shape 3,64,64",
        "swp-export prune network.onnx --threshold 0.001",
    )
)
@click.argument("checkpoint", type=FILE)
@options(THRESHOLD)
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write. Default: CHECKPOINT's name with .onnx, in this folder.",
)
@options(ARCH, INPUT_SHAPE, LOWERING)
@click.option(
    "--plan", type=FILE, metavar="FILE", help="Write each layer as this file says; `tune --plan-out` makes it."
)
@click.option(
    "--tune",
    type=Device(*KINDS),
    help="Also search a minute for the form that is fastest on this device, as the command `tune` does.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many images one run takes, for --lowering auto and --tune.",
)
@click.option(
    "--dense-out",
    type=FILE,
    metavar="FILE",
    help="Also write the network as it was before pruning, to measure against.",
)
@options(DATA, DATASET, PRECISION, MAX_ACCURACY_DROP)
@click.option(
    "--recalibrate",
    type=click.IntRange(1),
    metavar="N",
    help="Estimate the statistics of BatchNorm anew once stripes are dead, on N images drawn from --data, or from "
    "those of --dataset to train on. The model is then equivalent to that network.",
)
@click.option("--no-verify", is_flag=True, help="Do not check that the model computes what CHECKPOINT does.")
@options(REPORT, FORCE, VERBOSITY, JSON)
def prune(*, checkpoint: str, no_verify: bool, page: str | None, as_json: bool, **arguments: Any) -> None:
    """Write CHECKPOINT as a compact, portable ONNX model.

    CHECKPOINT is a file of PyTorch or safetensors, or an ONNX model. It may be unbroken (as trained: all weights are
    still there, and --threshold says which stripes are dead) or broken (the method's prune() has taken the dead ones
    out already). Pruning is exact, and the model gets its name only after it was compared with CHECKPOINT.
    """
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.progress import progress
    from swp_export.command_line.prune_table import prune_tables
    from swp_export.command_line.terminal import print_json, print_report, print_warnings
    from swp_export.pruning.prune import prune as run

    try:
        with page_file(page, force=arguments["force"]) as write_page:
            with progress(measuring=arguments["tune"] is not None) as show:
                report = run(checkpoint, verify=not no_verify, progress=show, **arguments)
            write_page(report)
    except NotEquivalentError as error:
        if as_json:
            print_json({"model": error.report.model, "verification": error.report.to_json()})
        raise
    print_warnings([*report.warnings, *(() if report.verification is None else report.verification.notes)])
    print_report(report, prune_tables, as_json=as_json)
