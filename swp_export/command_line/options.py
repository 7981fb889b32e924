"""The options that several commands share, and the types of their values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
        sizes = _positive_numbers(text)
        if not sizes and (text or not name):  # of an input that has a batch alone there is nothing behind the colon
            self.fail(f"{value!r} is not an input shape, expected positive numbers like 3,32,32", param, ctx)
        return name, tuple(sizes)


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
        numbers = _positive_numbers(str(value))
        if not numbers:
            self.fail(f"{value!r} is not a list of positive numbers like 1,8", param, ctx)
        return numbers


def _positive_numbers(text: str) -> list[int]:
    """Return the numbers of a list like 1,8; nothing where it is none, or one of them is not positive."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        return []
    return numbers if min(numbers) >= 1 else []


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
    help="Stripes with |FilterSkeleton| <= F are dead; needed for unbroken files. Without Filter Skeletons, in an "
    "ONNX model: those with an L2 norm of at most F times the largest of their layer; default: those that are zero.",
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
PRECISION = click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="int8: each layer in int8 or float32, whatever is faster together.",
)
CALIBRATION_DATA = click.option(
    "--data",
    metavar="FILE.npz",
    help="int8: calibrate on the array 'images' [N, C, H, W] in this file, and measure accuracy with its 'labels' [N].",
)
CALIBRATION = click.option(
    "--calibration",
    type=click.Choice(["minmax", "percentile", "entropy"]),
    default="minmax",
    show_default=True,
    help="int8: how ranges of values are found.",
)
MAX_ACCURACY_DROP = click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(0),
    metavar="F",
    help="int8: points of accuracy that may be lost; without labels, percent of predictions that may change.",
)
