"""The command line: parse, call the function of the same name, print.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from swp_export.command_line.exit_codes import Commands, heed_termination, open_closed_streams
from swp_export.command_line.options import (
    ARCH,
    CALIBRATION,
    CALIBRATION_DATA,
    DATA,
    DEVICE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    MAX_ACCURACY_DROP,
    PRECISION,
    TF32,
    THREADS,
    THRESHOLD,
    Numbers,
    options,
)
from swp_export.verification.report import NotEquivalentError

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="swp-export")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens inside.")
def cli(*, verbose: bool) -> None:
    """Turn stripe-wise pruned checkpoints into small, verified, fast ONNX models.

    Exit codes: 0 done and true; 1 the check that was made is false; 2 bad usage, unreadable input, full disk, device
    not there; 70 a defect of swp-export, with its traceback; 130 interrupted; 141 nobody reads the output any more;
    143 terminated.
    """
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("swp_export").setLevel(logging.DEBUG)


@cli.command()
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
@options(DATA, PRECISION, MAX_ACCURACY_DROP)
@click.option("--no-verify", is_flag=True, help="Skip the comparison with CHECKPOINT.")
@options(FORCE, JSON)
def prune(*, checkpoint: str, no_verify: bool, as_json: bool, **arguments: Any) -> None:
    """Write CHECKPOINT as a compact, portable ONNX model.

    CHECKPOINT is a file of PyTorch or safetensors, or an ONNX model with stripes that are zero, or small: see
    --threshold. Pruning is exact. The model gets its name only after it was compared with CHECKPOINT in float64.
    """
    from swp_export.command_line.prune_table import prune_tables
    from swp_export.command_line.terminal import print_json, print_report, print_warnings, progress
    from swp_export.pruning.prune import prune as run

    try:
        with progress() as show:
            report = run(checkpoint, verify=not no_verify, progress=show, **arguments)
    except NotEquivalentError as error:
        if as_json:
            print_json({"model": error.report.model, "verification": error.report.to_json()})
        raise
    print_warnings([*report.warnings, *(() if report.verification is None else report.verification.notes)])
    print_report(report, prune_tables, as_json=as_json)


@cli.command()
@click.argument("model")
@options(DEVICE, THREADS)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images per run.")
@click.option("-o", "--output", metavar="FILE", help="The model to write; default: MODEL's name with -tuned, here.")
@click.option("--plan-out", metavar="FILE", help="Also write the plan; `prune --plan` makes the same model of it.")
@click.option("--seconds", type=click.FloatRange(0), default=60, show_default=True, help="Time to search.")
@options(PRECISION, CALIBRATION_DATA, CALIBRATION, MAX_ACCURACY_DROP)
@click.option("--unpruned", metavar="FILE", help="int8: also race against this network in int8, of prune --dense-out.")
@options(INPUT_SHAPE, TF32, FORCE, JSON)
def tune(*, model: str, as_json: bool, **arguments: Any) -> None:
    """Write the fastest verified form of MODEL for this device.

    MODEL is one that `prune` or `tune` wrote. Each layer's forms are measured here, then refined in the whole model.
    Needs no torch.
    """
    from swp_export.command_line.terminal import print_report, print_warnings, progress
    from swp_export.command_line.tune_table import tune_tables
    from swp_export.tuning.tune import tune as run

    with progress() as show:
        report = run(model, progress=show, **arguments)
    print_warnings(report.verification.notes)
    print_report(report, tune_tables, as_json=as_json)


@cli.command()
@click.argument("model")
@click.option("--against", required=True, metavar="FILE", help="The checkpoint or ONNX model to compare with.")
@options(THRESHOLD, ARCH, INPUT_SHAPE, DATA)
@click.option("--atol", type=float, metavar="F", help="With --rtol, replaces the error budget.")
@click.option("--rtol", type=float, metavar="F", help="With --atol, replaces the error budget.")
@options(MAX_ACCURACY_DROP)
@click.option("--junit", metavar="FILE", help="Also write the comparisons as JUnit XML.")
@options(FORCE, JSON)
def verify(*, model: str, junit: str | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Check that MODEL computes what a checkpoint, or another model, computes.

    Exits with 0 if it does, 1 if it does not, and then names the first layer that diverges.
    """
    from swp_export.atomic import atomic_outputs
    from swp_export.command_line.terminal import print_report, print_warnings, progress
    from swp_export.command_line.verify_table import verify_tables
    from swp_export.graph.files.external_data import files_of
    from swp_export.verification.junit import junit_xml
    from swp_export.verification.verify_file import verify as run

    inputs = (*files_of(model), *files_of(arguments["against"]), arguments["data"])
    with atomic_outputs(junit, inputs=inputs, force=force) as (target,):
        with progress() as show:
            report = run(model, progress=show, **arguments)
        if target is not None:
            target.write_text(junit_xml(report), encoding="utf-8")
    print_warnings(getattr(report, "notes", ()))
    print_report(report, verify_tables, as_json=as_json)
    if not report.equivalent:
        raise NotEquivalentError(report.summary(), report=report)


@cli.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--baseline", metavar="MODEL", help="What the others are compared with; default: the first MODEL.")
@options(DEVICE, THREADS)
@click.option("--batch", type=Numbers(), default="1", show_default=True, help="Images per run.")
@options(INPUT_SHAPE)
@click.option("--layers", is_flag=True, help="Also show the time per layer, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs instead of short bursts.")
@options(TF32)
@click.option("--cuda-graph", is_flag=True, help="CUDA only: capture each model in a CUDA graph.")
@options(JSON)
def bench(*, models: Sequence[str], as_json: bool, **arguments: Any) -> None:
    """Measure the latency of MODELs, in turns in one process, and compare them.

    The device that is asked for is used, or the command fails.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.command_line.bench_table import bench_tables
    from swp_export.command_line.terminal import print_report, progress

    with progress() as show:
        report = run(models, progress=lambda text, fraction: show(f"measuring: {text} {fraction:.0%}"), **arguments)
    print_report(report, bench_tables, as_json=as_json)


@cli.command()
@click.argument("file")
@options(THRESHOLD, JSON)
def inspect(*, file: str, threshold: float | None, as_json: bool) -> None:
    """Show what is in FILE: architecture, layers, skeletons of a checkpoint or an ONNX model; curves of a log.jsonl."""
    from swp_export.command_line.inspect_table import inspect_tables
    from swp_export.command_line.terminal import print_report
    from swp_export.command_line.training_table import log_tables
    from swp_export.inspection.inspect import inspect as run
    from swp_export.training.log import TrainingLog

    report = run(file, threshold=threshold)
    if isinstance(report, TrainingLog):
        print_report(report, log_tables, as_json=as_json)
    else:
        print_report(report, inspect_tables, as_json=as_json)


@cli.command()
@options(ARCH)
@click.option("--dataset", required=True, metavar="NAME", help="cifar10, cifar100, fashion-mnist or imagefolder.")
@click.option("--data-path", default="data", show_default=True, metavar="DIR", help="Folder of the data.")
@click.option("--download", is_flag=True, help="Download the data if they are not there.")
@click.option("--save", required=True, metavar="DIR", help="Folder for checkpoint.pth, log.jsonl and network.pth.")
@click.option(
    "--sr", type=click.FloatRange(0), default=1e-5, show_default=True, help="Strength of the penalty on the skeletons."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0),
    default=0.01,
    show_default=True,
    help="Stripes whose skeleton falls to it are dead.",
)
@click.option("--epochs", type=click.IntRange(1), default=160, show_default=True, help="Passes over the data.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images per step, of all processes."
)
@click.option(
    "--lr",
    type=click.FloatRange(0),
    default=0.1,
    show_default=True,
    help="Rate, divided by 10 at half and three quarters.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all random numbers.")
@options(DEVICE)
@click.option("--amp", is_flag=True, help="Automatic mixed precision.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that load images.")
@click.option("--resume", is_flag=True, help="Go on with the run in DIR, after its last whole epoch.")
@click.option("--fine-tune", metavar="FILE", help="Freeze this checkpoint's skeletons and train its weights further.")
@options(FORCE, JSON)
def train(*, as_json: bool, **arguments: Any) -> None:
    """Train a network with Filter Skeletons, as the method does.

    For several processes: torchrun --nproc-per-node N -m swp_export train ... DIR/network.pth is then pruned by
    `swp-export prune DIR/network.pth`; a stripe that died is exactly zero in it.
    """
    from swp_export.command_line.terminal import print_report, progress
    from swp_export.command_line.training_table import train_tables
    from swp_export.training.train import train as run

    with progress() as show:
        report = run(progress=show, **arguments)
    if os.environ.get("RANK", "0") != "0":
        return  # the first process of torchrun prints
    print_report(report, train_tables, as_json=as_json)


@cli.command()
@options(JSON)
def doctor(*, as_json: bool) -> None:
    """Show versions, the devices that really run a model, and what to install for the others."""
    from swp_export.command_line.doctor_table import doctor_tables
    from swp_export.command_line.terminal import print_report
    from swp_export.runtime.doctor import doctor as run

    print_report(run(), doctor_tables, as_json=as_json)


def main() -> None:
    """Run the program."""
    open_closed_streams()
    heed_termination()
    cli(prog_name="swp-export")
