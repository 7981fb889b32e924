"""The options that several commands share, and the types of their values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


class Shape(click.ParamType[tuple[int, int, int]]):
    """`C,H,W` -> three positive integers."""

    name = "C,H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        """Parse `value`."""
        if isinstance(value, tuple):
            return value
        try:
            sizes = [int(part) for part in str(value).split(",")]
        except ValueError:
            sizes = []
        if len(sizes) != 3 or min(sizes) < 1:
            self.fail(f"{value!r} is not an image shape, expected three positive numbers like 3,32,32", param, ctx)
        return sizes[0], sizes[1], sizes[2]


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


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the decorator that applies `decorators`, the first of them outermost, as if each stood on its own line."""

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
    help="Stripes with |FilterSkeleton| <= F are dead. Needed for unbroken files.",
)


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
    help="Sizes of one input behind the batch, in the model's own order: H,W,C where it takes [N, H, W, C]; default: "
    "from the file.",
)
DATA = click.option("--data", metavar="FILE.npz", help="Also verify on the array 'images' [N, C, H, W] in this file.")
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
