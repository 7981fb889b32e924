"""The options that say what accuracy is measured on, beside a file (`options.DATA`): a data set that `train` knows."""

from __future__ import annotations

import click

from swp_export.command_line.options import options

DATASET = options(
    click.option(
        "--dataset",
        metavar="NAME",
        help="In place of --data, the test images of a data set that `train` knows: cifar10, cifar100, fashion-mnist "
        "or imagefolder (which needs torchvision).",
    ),
    click.option("--data-path", default="data", show_default=True, metavar="DIR", help="Folder of that data set."),
)
