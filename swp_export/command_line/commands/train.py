"""The command `train`: train with Filter Skeletons."""

from __future__ import annotations

import os
from typing import Any

import click

from swp_export.command_line.options import ARCH, DEVICE, FORCE, JSON, options


@click.command()
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
