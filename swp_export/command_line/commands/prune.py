"""The command `prune`: from a checkpoint, or an ONNX file with dead stripes, to a portable model."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import ARCH, DATA, FORCE, INPUT_SHAPE, JSON, THRESHOLD, options
from swp_export.command_line.page_file import REPORT
from swp_export.verification.report import NotEquivalentError


@click.command()
@click.argument("checkpoint")
@options(THRESHOLD)
@click.option("-o", "--output", metavar="FILE", help="The model to write; default: CHECKPOINT's name with .onnx, here.")
@options(ARCH, INPUT_SHAPE)
@click.option(
    "--lowering",
    metavar="NAME",
    help="Write every layer that admits it as NAME: dense, pad-slice-add, shift-sum ...; default: by a static rule.",
)
@click.option("--plan", metavar="FILE", help="Write each layer as this plan of `tune` says.")
@click.option(
    "--tune", type=click.Choice(["cpu", "cuda"]), help="Search for the fastest form on this device, a minute."
)
@click.option("--dense-out", metavar="FILE", help="Also write the unpruned network, the baseline to measure against.")
@options(DATA, DATASET)
@click.option(
    "--recalibrate",
    type=click.IntRange(1),
    metavar="N",
    help="Estimate the statistics of BatchNorm anew once stripes are dead, on N images drawn from --data, or "
    "from those of --dataset to train on. The model is then equivalent to that network.",
)
@click.option("--no-verify", is_flag=True, help="Skip the comparison with CHECKPOINT.")
@options(REPORT, FORCE, JSON)
def prune(*, checkpoint: str, no_verify: bool, page: str | None, as_json: bool, **arguments: Any) -> None:
    """Write CHECKPOINT as a compact, portable ONNX model.

    CHECKPOINT is a file of PyTorch or safetensors, or an ONNX model with stripes that are zero, or small: see
    --threshold. Pruning is exact. The model gets its name only after it was compared with CHECKPOINT in float64.
    """
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.prune_table import prune_tables
    from swp_export.command_line.terminal import print_json, print_report, print_warnings, progress
    from swp_export.pruning.prune import prune as run

    try:
        with page_file(page, force=arguments["force"]) as write_page:
            with progress() as show:
                report = run(checkpoint, verify=not no_verify, progress=show, **arguments)
            write_page(report)
    except NotEquivalentError as error:
        if as_json:
            print_json({"model": error.report.model, "verification": error.report.to_json()})
        raise
    print_warnings([*report.warnings, *(() if report.verification is None else report.verification.notes)])
    print_report(report, prune_tables, as_json=as_json)
