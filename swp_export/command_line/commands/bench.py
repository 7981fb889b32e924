"""The command `bench`: latency of models, compared with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.options import (
    DEVICE,
    FILE,
    INPUT_SHAPE,
    JSON,
    TF32,
    THREADS,
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
    )
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=FILE)
@click.option(
    "--baseline", type=FILE, metavar="MODEL", help="What the others are compared with. Default: the first MODEL."
)
@options(DEVICE, THREADS)
@click.option(
    "--batch",
    type=Numbers(),
    default="1",
    show_default=True,
    help="How many images one run takes; several numbers in turn.",
)
@options(INPUT_SHAPE)
@click.option("--layers", is_flag=True, help="Also show how long each layer takes, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs, so that each finds the caches cold.")
@options(TF32)
@click.option("--cuda-graph", is_flag=True, help="Only with --device cuda: run each model as one CUDA graph.")
@options(VERBOSITY, JSON)
def bench(*, models: Sequence[str], as_json: bool, **arguments: Any) -> None:
    """Measure how fast MODELs run, and compare them.

    They take turns in one process, so that whatever else the machine does meets all of them alike.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report

    with progress(measuring=True) as show:
        report = run(models, progress=show, **arguments)
    print_report(report, bench_tables, as_json=as_json)
