"""The command `bench`: latency of models, compared with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import DEVICE, FORCE, INPUT_SHAPE, JSON, TF32, THREADS_IN_TURN, Numbers, options

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--baseline", metavar="MODEL", help="What the others are compared with; default: the first MODEL.")
@options(DEVICE, THREADS_IN_TURN)
@click.option(
    "--streams",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Sessions of one thread at once, as a server runs them.",
)
@click.option(
    "--batch", type=Numbers(), default="1", show_default=True, help="Images per run; several numbers in turn."
)
@options(INPUT_SHAPE)
@click.option(
    "--data",
    metavar="FILE.npz",
    help="Measure on the array 'images' [N, C, H, W] in this file, of several inputs on an array for each by its "
    "name; default: noise. With 'labels' [N], accuracy is measured too.",
)
@options(DATASET)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Measured time of each model, at least.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=10, show_default=True, help="Measured runs of each model, at least."
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    metavar="RUNS",
    help="Runs of each model before it is measured; default: until it stops getting faster.",
)
@click.option("--layers", is_flag=True, help="Also show the time per layer, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs instead of short bursts.")
@options(TF32)
@click.option("--cuda-graph", is_flag=True, help="CUDA only: capture each model in a CUDA graph.")
@click.option(
    "--export",
    multiple=True,
    metavar="FILE",
    help="Also write a file: .json with every single run, .csv or .md with the figures; may be given several times.",
)
@options(FORCE, JSON)
def bench(*, models: Sequence[str], as_json: bool, **arguments: Any) -> None:
    """Measure latency and throughput of MODELs, in turns in one process, and compare them.

    The device that is asked for is used, or the command fails.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.terminal import print_report, print_warnings, progress

    with progress() as show:
        report = run(models, progress=lambda text, fraction: show(f"measuring: {text} {fraction:.0%}"), **arguments)
    print_warnings(report.remarks)
    print_report(report, bench_tables, as_json=as_json)
