"""The command `bench`: latency of models, compared with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import (
    DEVICE,
    FILE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    TF32,
    THREADS_IN_TURN,
    VERBOSITY,
    Numbers,
    examples,
    options,
)
from swp_export.command_line.page_file import REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    epilog=examples(
        "swp-export bench small.onnx --baseline dense.onnx",
        "swp-export bench small.onnx fast.onnx --baseline dense.onnx --batch 1,8",
        "swp-export bench small.onnx --layers",
        "swp-export bench small.onnx --baseline dense.onnx --data val.npz",
        "swp-export bench small.onnx --streams 4 --export bench.json",
    )
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=FILE)
@click.option(
    "--baseline", type=FILE, metavar="MODEL", help="What the others are compared with. Default: the first MODEL."
)
@options(DEVICE, THREADS_IN_TURN)
@click.option(
    "--streams",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many runs of one thread each go on at once, as in a server.",
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
    help="Measure on the array 'images' [N, C, H, W] of this file instead of noise; with several inputs on an array "
    "for each, by its name. With 'labels' [N], accuracy is measured too.",
)
@options(DATASET)
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
    help="How many runs of each model are not measured at first. Default: until it stops getting faster.",
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
    help="Also write a file: .json with every single run, .csv or .md with the figures; may be given several times.",
)
@options(REPORT, FORCE, VERBOSITY, JSON)
def bench(*, models: Sequence[str], page: str | None, as_json: bool, **arguments: Any) -> None:
    """Measure how fast MODELs run, in turns in one process, and compare them.

    They take turns in one process, so that whatever else the machine does meets all of them alike.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report, print_warnings

    with page_file(page, force=arguments["force"]) as write_page:
        with progress(measuring=True) as show:
            report = run(models, progress=show, **arguments)
        write_page(report)
    print_warnings(report.remarks)
    print_report(report, bench_tables, as_json=as_json)
