"""The command `sweep`: which threshold? What each leaves, how accurate and how fast it is, and the model at one."""

from __future__ import annotations

import os
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
    THREADS,
    VERBOSITY,
    Device,
    examples,
    options,
)
from swp_export.command_line.page_file import REPORT
from swp_export.runtime.target import KINDS


class Thresholds(click.ParamType[list[float]]):
    """`F[,F...]` -> numbers."""

    name = "F[,F...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        """Parse `value`."""
        if isinstance(value, list):
            return value
        try:
            return [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers like 0.01,0.05", param, ctx)


class Amount(click.ParamType[float]):
    """`30M`, `1.2G` or `30e6` -> a positive number."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse `value`."""
        text = str(value)
        unit = {"K": 1e3, "M": 1e6, "G": 1e9}.get(text[-1:].upper(), 1.0)
        try:
            amount = unit * float(text if unit == 1 else text[:-1])
        except ValueError:
            amount = 0.0
        if not 0 < amount < float("inf"):
            self.fail(f"{value!r} is not a number of FLOPs like 30M or 1.2G", param, ctx)
        return amount


@click.command(
    epilog=examples(
        "swp-export sweep best.pth.tar",
        "swp-export sweep best.pth --data val.npz --max-accuracy-drop 0.5 -o s.onnx",
        "swp-export sweep best.pth.tar --thresholds 0.01,0.02 --device cpu",
        "swp-export sweep best.pth.tar --dataset cifar10 --recalibrate 1000",
    )
)
@click.argument("checkpoint", type=FILE)
@click.option("--thresholds", type=Thresholds(), help="Which to try. Default: a few in gaps between the values.")
@click.option(
    "--points", type=click.IntRange(2), default=12, show_default=True, metavar="N", help="How many thresholds to find."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Also write the model at the threshold that is taken, verified as by `prune`.",
)
@options(ARCH, INPUT_SHAPE, DATA, DATASET)
@click.option(
    "--recalibrate",
    type=click.IntRange(1),
    metavar="N",
    help="Estimate the statistics of BatchNorm anew at each threshold, on N images drawn from --data, or from those of "
    "--dataset to train on. Slower: the network is exported each time.",
)
@click.option("--device", type=Device(*KINDS), help="Also measure latency there, in turns. Default: not measured.")
@options(THREADS)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Images per run.")
@click.option(
    "--max-accuracy-drop", type=float, metavar="P", help="Take the cheapest that loses at most P points of accuracy."
)
@click.option("--target-flops", type=Amount(), help="Take one whose file executes at most N FLOPs: 30M, 1.2G.")
@click.option("--target-latency", type=click.FloatRange(0), metavar="MS", help="Take one that runs in at most MS ms.")
@click.option("--csv", type=FILE, metavar="FILE", help="Also write the table as CSV.")
@click.option("--resume", type=FILE, metavar="FILE", help="Keep what is found in this file; go on from it later.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Thresholds at the same time. Default: one a processor, at most 4.",
)
@options(REPORT, FORCE, VERBOSITY, JSON)
def sweep(*, checkpoint: str, jobs: int | None, page: str | None, as_json: bool, **arguments: Any) -> None:
    """Show what each threshold would leave of CHECKPOINT, how accurate and how fast that is, and pick one.

    CHECKPOINT is an unbroken checkpoint, or an ONNX model with small stripes. The threshold that is taken meets the
    targets, or without any lies at the knee of the front. Exits with 1 where none meets the targets.
    """
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.progress import progress
    from swp_export.command_line.sweep_table import sweep_tables
    from swp_export.command_line.terminal import print_report, print_warnings
    from swp_export.sweeping.choice import NoThresholdError
    from swp_export.sweeping.sweep import sweep as run

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with page_file(page, force=arguments["force"]) as write_page:
        with progress(measuring=arguments["device"] is not None) as show:
            report = run(checkpoint, jobs=jobs or min(4, processors), progress=show, **arguments)
        write_page(report)
    if report.written is not None:
        print_warnings(report.written.warnings)
    print_report(report, sweep_tables, as_json=as_json)
    if report.problem is not None:
        raise NoThresholdError(report.problem)
