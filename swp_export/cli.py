"""The command line: parse, call the function of the same name, print.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swp_export.errors import NotEquivalentError
from swp_export.program import Program, heed_termination, open_closed_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.verification.report import VerificationReport


class Shape(click.ParamType[tuple[str, tuple[int, ...]]]):
    """`C,H,W` or `NAME:C,H,W` -> the input's name, empty for an only one, and positive integers."""

    name = "[NAME:]C,H,W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        """Parse `value`."""
        if isinstance(value, tuple):
            return value
        name, _, text = str(value).rpartition(":")  # a name may hold colons
        try:
            sizes = tuple(int(part) for part in text.split(",") if text)
        except ValueError:
            sizes = (0,)
        if min(sizes, default=1) < 1 or (not sizes and not name):
            self.fail(f"{value!r} is not an input shape, expected positive numbers like 3,32,32", param, ctx)
        return name, sizes


def _joined(_ctx: click.Context, param: click.Parameter, values: Sequence[tuple[str, tuple[int, ...]]]) -> Any:
    """Return the shape of the only input, or of each input by its name."""
    by_name = dict(values)
    if len(by_name) < len(values) or ("" in by_name and len(values) > 1):
        raise click.BadParameter("give it once, or once for each input as NAME:C,H,W", param=param)
    return by_name.get("", by_name or None)


class Numbers(click.ParamType[list[int]]):
    """`N[,N...]` -> positive integers."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Parse `value`."""
        if isinstance(value, list):
            return value
        try:
            numbers = [int(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if not numbers or min(numbers) < 1:
            self.fail(f"{value!r} is not a list of positive numbers like 1,8", param, ctx)
        return numbers


def _options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
FORCE = click.option("--force", is_flag=True, help="Overwrite existing files.")
THRESHOLD = click.option(
    "--threshold",
    type=float,
    metavar="F",
    help="Stripes with |FilterSkeleton| <= F are dead; needed for unbroken files. Without Filter Skeletons, in an "
    "ONNX model: those with an L2 norm of at most F times the largest of their layer; default: those that are zero.",
)


def _warn(warnings: Sequence[str], verification: VerificationReport | None) -> None:
    """Print what has to be known beside the result on standard error."""
    from swp_export.report.terminal import print_line

    for text in (*warnings, *(() if verification is None else verification.notes)):
        print_line(f"swp-export: warning: {text}", err=True)


def _make_importable(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Let `--arch package.module:factory` find modules in the current folder, as `python -m` does."""
    if value is not None and ":" in value:
        sys.path.insert(0, str(Path.cwd()))
    return value


ARCH = click.option(
    "--arch",
    callback=_make_importable,
    metavar="NAME",
    help="Architecture (VGG16, ResNet56, ...) or package.module:factory; default: from the file.",
)
INPUT_SHAPE = click.option(
    "--input-shape",
    type=Shape(),
    multiple=True,
    callback=_joined,
    help="Sizes of one input behind the batch, in the model's own order: H,W,C where it takes [N, H, W, C]; of several "
    "inputs NAME:C,H,W, once for each that the model leaves open. Default: from the file.",
)
DATA = click.option(
    "--data",
    metavar="FILE.npz",
    help="Also verify on the array 'images' [N, C, H, W] in this file; of "
    "several inputs on an array for each, by its name.",
)
DEVICE = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Never another one."
)
TF32 = click.option(
    "--tf32/--no-tf32",
    default=False,
    show_default=True,
    help="CUDA only: let convolutions round to TF32, faster than what was verified and less exact.",
)
THREADS = click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads in an operator."
)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
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
@_options(THRESHOLD)
@click.option("-o", "--output", metavar="FILE", help="The model to write; default: CHECKPOINT's name with .onnx, here.")
@_options(ARCH, INPUT_SHAPE)
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
@_options(DATA)
@click.option("--no-verify", is_flag=True, help="Skip the comparison with CHECKPOINT.")
@_options(FORCE, JSON)
def prune(*, checkpoint: str, no_verify: bool, as_json: bool, **options: Any) -> None:
    """Write CHECKPOINT as a compact, portable ONNX model.

    CHECKPOINT is a file of PyTorch or safetensors, or an ONNX model with stripes that are zero, or small: see
    --threshold. Pruning is exact. The model gets its name only after it was compared with CHECKPOINT in float64.
    """
    from swp_export.pruning.prune import prune as run
    from swp_export.report.prune_table import prune_tables
    from swp_export.report.terminal import print_data, print_json, print_line, progress

    try:
        with progress() as show:
            report = run(checkpoint, verify=not no_verify, progress=show, **options)
    except NotEquivalentError as error:
        if as_json:
            print_json({"model": error.report.model, "verification": error.report.to_json()})
        raise
    _warn(report.warnings, report.verification)
    if as_json:
        print_json(report.to_json())
        return
    print_data([*prune_tables(report)])
    print_line(f"{report.model}: {report.bytes / 1e6:.2f} MB, sha256 {report.sha256[:16]}")
    if report.dense is not None:
        print_line(f"{report.dense}: the network before pruning")
    if report.verification is not None:
        print_line(report.verification.summary())
    print_line(report.claim())


@cli.command()
@click.argument("model")
@_options(DEVICE, THREADS)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images per run.")
@click.option("-o", "--output", metavar="FILE", help="The model to write; default: MODEL's name with -tuned, here.")
@click.option("--plan-out", metavar="FILE", help="Also write the plan; `prune --plan` makes the same model of it.")
@click.option("--seconds", type=click.FloatRange(0), default=60, show_default=True, help="Time to search.")
@_options(INPUT_SHAPE, TF32, FORCE, JSON)
def tune(*, model: str, as_json: bool, **options: Any) -> None:
    """Write the fastest verified form of MODEL for this device.

    MODEL is one that `prune` or `tune` wrote. Each layer's forms are measured here, then refined in the whole model.
    Needs no torch.
    """
    from swp_export.report.terminal import print_data, print_json, print_line, progress
    from swp_export.report.tune_table import tune_tables
    from swp_export.tuning.tune import tune as run

    with progress() as show:
        report = run(model, progress=show, **options)
    _warn((), report.verification)
    if as_json:
        print_json(report.to_json())
        return
    print_data([*tune_tables(report)])
    print_line(f"{report.model}: {report.fastest.variants} variants of the whole model were compared")
    print_line(report.verification.summary())


@cli.command()
@click.argument("model")
@click.option("--against", required=True, metavar="FILE", help="The checkpoint or ONNX model to compare with.")
@_options(THRESHOLD, ARCH, INPUT_SHAPE, DATA)
@click.option("--atol", type=float, metavar="F", help="With --rtol, replaces the error budget.")
@click.option("--rtol", type=float, metavar="F", help="With --atol, replaces the error budget.")
@click.option("--junit", metavar="FILE", help="Also write the comparisons as JUnit XML.")
@_options(FORCE, JSON)
def verify(*, model: str, junit: str | None, force: bool, as_json: bool, **options: Any) -> None:
    """Check that MODEL computes what a checkpoint, or another model, computes.

    Exits with 0 if it does, 1 if it does not, and then names the first layer that diverges.
    """
    from swp_export.atomic import atomic_outputs
    from swp_export.graph.files.external_data import files_of
    from swp_export.report.terminal import print_data, print_json, print_line, progress
    from swp_export.report.verify_table import verify_table
    from swp_export.verification.junit import junit_xml
    from swp_export.verification.verify_file import verify as run

    inputs = (*files_of(model), *files_of(options["against"]), options["data"])
    with atomic_outputs(junit, inputs=inputs, force=force) as (target,):
        with progress() as show:
            report = run(model, progress=show, **options)
        if target is not None:
            target.write_text(junit_xml(report), encoding="utf-8")
    _warn((), report)
    if as_json:
        print_json(report.to_json())
    else:
        print_data([verify_table(report)])
        print_line(report.summary())
    if not report.equivalent:
        raise NotEquivalentError(report.summary(), report=report)


@cli.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--baseline", metavar="MODEL", help="What the others are compared with; default: the first MODEL.")
@_options(DEVICE, THREADS)
@click.option("--batch", type=Numbers(), default="1", show_default=True, help="Images per run.")
@_options(INPUT_SHAPE)
@click.option("--layers", is_flag=True, help="Also show the time per layer, beside its share of the FLOPs.")
@click.option("--cold", is_flag=True, help="Alternate single runs instead of short bursts.")
@_options(TF32)
@click.option("--cuda-graph", is_flag=True, help="CUDA only: capture each model in a CUDA graph.")
@_options(JSON)
def bench(*, models: Sequence[str], as_json: bool, **options: Any) -> None:
    """Measure the latency of MODELs, in turns in one process, and compare them.

    The device that is asked for is used, or the command fails.
    """
    from swp_export.benchmark.benchmark import bench as run
    from swp_export.report.bench_table import bench_tables
    from swp_export.report.terminal import print_data, print_json, progress

    with progress() as show:
        report = run(models, progress=lambda text, fraction: show(f"measuring: {text} {fraction:.0%}"), **options)
    if as_json:
        print_json(report.to_json())
    else:
        print_data([*bench_tables(report)])


@cli.command()
@click.argument("file")
@_options(THRESHOLD, JSON)
def inspect(*, file: str, threshold: float | None, as_json: bool) -> None:
    """Show what is in FILE: architecture, layers, skeletons of a checkpoint or an ONNX model; curves of a log.jsonl."""
    from swp_export.inspection.inspect import inspect as run
    from swp_export.report.inspect_table import inspect_tables
    from swp_export.report.terminal import print_data, print_json
    from swp_export.report.training_table import training_table
    from swp_export.training.log import TrainingLog

    report = run(file, threshold=threshold)
    if as_json:
        print_json(report.to_json())
    elif isinstance(report, TrainingLog):
        print_data([training_table(report)])
    else:
        print_data([*inspect_tables(report)])


@cli.command()
@_options(ARCH)
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
@_options(DEVICE)
@click.option("--amp", is_flag=True, help="Automatic mixed precision.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that load images.")
@click.option("--resume", is_flag=True, help="Go on with the run in DIR, after its last whole epoch.")
@click.option("--fine-tune", metavar="FILE", help="Freeze this checkpoint's skeletons and train its weights further.")
@_options(FORCE, JSON)
def train(*, as_json: bool, **options: Any) -> None:
    """Train a network with Filter Skeletons, as the method does.

    For several processes: torchrun --nproc-per-node N -m swp_export train ... DIR/network.pth is then pruned by
    `swp-export prune DIR/network.pth`; a stripe that died is exactly zero in it.
    """
    from swp_export.report.terminal import print_data, print_json, print_line, progress
    from swp_export.report.training_table import training_table
    from swp_export.training.train import train as run

    with progress() as show:
        report = run(progress=show, **options)
    if os.environ.get("RANK", "0") != "0":
        return  # the first process of torchrun prints
    if as_json:
        print_json(report.to_json())
        return
    print_data([training_table(report.log)])
    print_line(report.summary())


@cli.command()
@_options(JSON)
def doctor(*, as_json: bool) -> None:
    """Show versions, the devices that really run a model, and what to install for the others."""
    from swp_export.report.doctor_table import doctor_tables
    from swp_export.report.terminal import print_data, print_json
    from swp_export.runtime.doctor import doctor as run

    report = run()
    if as_json:
        print_json(report.to_json())
    else:
        print_data([*doctor_tables(report)])


def main() -> None:
    """Run the program."""
    open_closed_streams()
    heed_termination()
    cli(prog_name="swp-export")
