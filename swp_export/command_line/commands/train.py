"""The command `train`: train with Filter Skeletons."""

from __future__ import annotations

import os
from typing import Any

import click

from swp_export.command_line.options import (
    ARCH,
    DATASET,
    FILE,
    FOLDER,
    FORCE,
    JSON,
    VERBOSITY,
    examples,
    options,
)


def _number(name: str, kind: click.ParamType[Any], default: float, text: str) -> Any:
    return click.option(name, type=kind, default=default, show_default=True, metavar="N", help=text)


@click.command(
    epilog=examples(
        "swp-export train --arch ResNet20 --dataset cifar10 --download --save runs/a",
        "swp-export train --arch ResNet20 --dataset cifar10 --save runs/a --resume",
        "swp-export prune runs/a/network.pth",
        "torchrun --nproc-per-node 4 -m swp_export train ... --device cuda",
    )
)
@options(ARCH, DATASET)
@click.option(
    "--data-path",
    type=FOLDER,
    default="data",
    show_default=True,
    metavar="DIR",
    help="The folder that the data lie in.",
)
@click.option("--download", is_flag=True, help="Download the data if they are not there.")
@click.option(
    "--save",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="The folder to write: checkpoint.pth and log.jsonl after every epoch, network.pth at the end.",
)
@options(
    _number(
        "--sr", click.FloatRange(0), 1e-5, "How strongly the skeletons are pulled to zero: more kills more stripes."
    ),
    _number("--threshold", click.FloatRange(0), 0.01, "A stripe whose skeleton falls to this is dead from then on."),
    _number("--epochs", click.IntRange(1), 160, "How often to go through the data."),
    _number("--batch-size", click.IntRange(1), 64, "Images per step, of all processes together."),
    _number("--lr", click.FloatRange(0), 0.1, "Learning rate; divided by 10 after half and three quarters."),
    _number("--seed", click.IntRange(0), 0, "The same seed gives the same network, on the CPU bit for bit."),
    click.option(
        "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to train."
    ),
)
@click.option("--amp", is_flag=True, help="Compute in mixed precision where that is safe; for GPUs.")
@options(_number("--workers", click.IntRange(0), 0, "Processes that load images beside the training."))
@click.option("--resume", is_flag=True, help="Go on with the run in --save, after its last whole epoch.")
@click.option(
    "--fine-tune",
    type=FILE,
    metavar="FILE",
    help="Start from this pruned checkpoint: its dead stripes stay dead, its weights are trained further.",
)
@options(FORCE, VERBOSITY, JSON)
def train(*, as_json: bool, **arguments: Any) -> None:
    """Train a network with Filter Skeletons.

    A Filter Skeleton has one number per stripe of a layer. Training pulls these numbers to zero; a stripe whose number
    falls to --threshold dies, and is exactly zero in DIR/network.pth.
    """
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report
    from swp_export.command_line.training_table import train_tables
    from swp_export.training.train import train as run

    with progress() as show:
        report = run(progress=show, **arguments)
    if os.environ.get("RANK", "0") != "0":
        return  # the first process of torchrun prints
    print_report(report, train_tables, as_json=as_json)
