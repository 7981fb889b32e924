"""The command `bench`: latency of models, compared with a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.options import DEVICE, FORCE, INPUT_SHAPE, JSON, TF32, THREADS, Numbers, options
from swp_export.command_line.page_file import REPORT

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--baseline", metavar="MODEL", help="What the others are compared with; default: the first MODEL.")
@options(DEVICE, THREADS)
@click.option("--batch", type=Numbers(), default="1", show_default=True, help="Images per run.")
@options(INPUT_SHAPE)
@click.option("--layers", is_flag=True, help="Also show the time per layer, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs instead of short bursts.")
@options(TF32)
@click.option("--cuda-graph", is_flag=True, help="CUDA only: capture each model in a CUDA graph.")
@options(REPORT, FORCE, JSON)
def bench(*, models: Sequence[str], page: str | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Measure the latency of MODELs, in turns in one process, and compare them.

    The device that is asked for is used, or the command fails.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.page_file import page_file
    from swp_export.command_line.terminal import print_report, progress

    with page_file(page, force=force) as write_page:
        with progress() as show:
            report = run(models, progress=lambda text, fraction: show(f"measuring: {text} {fraction:.0%}"), **arguments)
        write_page(report)
    print_report(report, bench_tables, as_json=as_json)
