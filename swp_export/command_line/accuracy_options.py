"""The options that say what accuracy is measured on, beside a file (`options.DATA`): a data set that `train` knows."""

from __future__ import annotations

import click

from swp_export.command_line.names import DATASETS
from swp_export.command_line.options import FOLDER, Name, options

DATASET = options(
    click.option(
        "--dataset",
        type=Name("dataset", *DATASETS),
        metavar="NAME",
        help="For accuracy, in place of --data: the test images of a data set that `train` knows, cifar10, cifar100, "
        "fashion-mnist or imagefolder (needs torchvision).",
    ),
    click.option(
        "--data-path", type=FOLDER, default="data", show_default=True, metavar="DIR", help="Folder of that data set."
    ),
)
