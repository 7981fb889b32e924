"""The command `bench`: latency and throughput of models, compared with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.options import (
    DEVICE,
    FILE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    TF32,
    VERBOSITY,
    Numbers,
    examples,
    options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    epilog=examples(
        "swp-export bench small.onnx --baseline dense.onnx",
        "swp-export bench small.onnx fast.onnx --baseline dense.onnx --batch 1,8",
        "swp-export bench small.onnx --layers",
        "swp-export bench small.onnx --streams 4 --export bench.json",
    )
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=FILE)
@click.option(
    "--baseline", type=FILE, metavar="MODEL", help="What the others are compared with. Default: the first MODEL."
)
@options(DEVICE)
@click.option(
    "--threads",
    type=Numbers(),
    default="1",
    show_default=True,
    help="How many processor threads one run may use; several numbers in turn.",
)
@click.option(
    "--streams",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Run N sessions of one thread at once, as a server does, and compare what they finish.",
)
@click.option(
    "--batch",
    type=Numbers(),
    default="1",
    show_default=True,
    help="How many images one run takes; several numbers in turn.",
)
@options(INPUT_SHAPE)
@click.option(
    "--data",
    type=FILE,
    metavar="FILE.npz",
    help="Measure on your own inputs: the array 'images' [N, C, H, W] of this file, made by numpy.savez; with several "
    "inputs an array for each, by its name. Default: noise.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    metavar="S",
    help="How long each model is measured, at least.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="How many runs of each model are measured, at least.",
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    metavar="N",
    help="How many runs of each model go before. Default: until it stops getting faster.",
)
@click.option("--layers", is_flag=True, help="Also show how long each layer takes, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs, so that each finds the caches cold.")
@options(TF32)
@click.option("--cuda-graph", is_flag=True, help="Only with --device cuda: run each model as one CUDA graph.")
@click.option(
    "--export",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Also write a file: .json with every single run, .csv or .md with a line for each model. May be given again.",
)
@options(FORCE, VERBOSITY, JSON)
def bench(*, models: Sequence[str], as_json: bool, **arguments: Any) -> None:
    """Measure how fast MODELs run, and compare them.

    They take turns in one process, so that whatever else the machine does meets all of them alike.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report, print_warnings

    with progress(measuring=True) as show:
        report = run(models, progress=show, **arguments)
    print_warnings(report.remarks)
    print_report(report, bench_tables, as_json=as_json)
