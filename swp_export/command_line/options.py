"""The options that several commands share, and the types of their values."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from swp_export.command_line.names import ARCHITECTURES, DATASETS, LOWERINGS
from swp_export.command_line.progress import QUIET_KEY
from swp_export.distributions import DISTRIBUTIONS, installed_distributions, program_version
from swp_export.errors import InputError
from swp_export.runtime.target import KINDS, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.runtime.target import Kind


FILE = click.Path(readable=False)
"""Any file: the shell completes it; whether it is there and what it holds is told by who reads or writes it."""
FOLDER = click.Path(file_okay=False, readable=False)


class Name(click.ParamType[str]):
    """A name out of a few that the shell completes; others are let through, to be judged where they are used."""

    def __init__(self, name: str, *known: str) -> None:
        self.name = name
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """Return the known names that begin with `incomplete`, case ignored."""
        return [CompletionItem(name) for name in self._known if name.lower().startswith(incomplete.lower())]


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


def examples(*lines: str) -> str:
    """Return the end of a command's help: real uses, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _log(_ctx: click.Context, _param: click.Parameter, verbose: bool) -> None:  # noqa: FBT001 # click's signature
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("swp_export").setLevel(logging.DEBUG)


def _hush(ctx: click.Context, _param: click.Parameter, quiet: bool) -> None:  # noqa: FBT001 # click's signature
    if quiet:
        ctx.meta[QUIET_KEY] = True


VERBOSITY = options(
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_hush,
        help="Show no progress; results, warnings and errors stay.",
    ),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_log,
        help="Log what happens inside, for bug reports.",
    ),
)


def _tell_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 # click's signature
    if wanted and not ctx.resilient_parsing:
        name = next((each.name for each in installed_distributions()), DISTRIBUTIONS[0].name)
        click.echo(f"{name}, version {program_version()}")
        ctx.exit()


VERSION = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_tell_version,
    help="Show the version and exit.",
)
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document instead of tables, for scripts."
)
FORCE = click.option("--force", is_flag=True, help="Overwrite files that exist already.")
THRESHOLD = click.option(
    "--threshold",
    type=float,
    metavar="F",
    help="How small a stripe must be to count as dead. With Filter Skeletons: |FilterSkeleton| <= F; a checkpoint that "
    "was not broken yet needs it. Without: a norm of at most F times the largest in the same layer; by default only "
    "stripes of zeros are dead. `swp-export inspect FILE` shows how the values lie.",
)


def make_importable(arch: str | None) -> str | None:
    """Let an `arch` that is package.module:factory find modules in the current folder, as `python -m` does."""
    if arch is not None and ":" in arch:
        sys.path.insert(0, str(Path.cwd()))
    return arch


ARCH = click.option(
    "--arch",
    type=Name("arch", *ARCHITECTURES),
    callback=lambda _ctx, _param, value: make_importable(value),
    metavar="NAME",
    help=f"Which network it is: {', '.join(ARCHITECTURES)}, or package.module:function for one of your own. Needed "
    "only where the file does not tell.",
)
DATASET = click.option(
    "--dataset",
    type=Name("dataset", *DATASETS),
    required=True,
    metavar="NAME",
    help=f"What to train on: {', '.join(DATASETS)}.",
)
LOWERING = click.option(
    "--lowering",
    type=Name("lowering", *LOWERINGS),
    metavar="NAME",
    help="Write every layer in this form where it can be: dense, pad-slice-add, shift-sum, ... By default each layer "
    "gets the form with less work.",
)
INPUT_SHAPE = click.option(
    "--input-shape",
    type=Shape(),
    multiple=True,
    callback=_joined,
    help="Size of one input without the batch, in the model's own order, for example 3,32,32. With several inputs "
    "NAME:C,H,W, once for each. Needed only where the file does not tell.",
)
DATA = click.option(
    "--data",
    type=FILE,
    metavar="FILE.npz",
    help="Run on your own inputs too: the array 'images' [N, C, H, W] of this file, made by numpy.savez; with several "
    "inputs an array for each, by its name. With 'labels' [N], accuracy is measured. Bytes are normalised as the "
    "network records it.",
)


class Device(click.ParamType[str]):
    """`cpu|cuda|cuda:N|openvino`, of which `kinds` are offered."""

    name = "device"

    def __init__(self, *kinds: Kind) -> None:
        self._kinds = kinds
        self._known = ", ".join("cuda, cuda:1" if kind == "cuda" else kind for kind in kinds)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 # click's signature
        """Return what the help shows."""
        return "|".join("cuda[:N]" if kind == "cuda" else kind for kind in self._kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check `value`."""
        try:
            kind = Target(device=str(value)).kind
        except InputError:
            kind = None
        if kind not in self._kinds:
            self.fail(f"{value!r} is not one of {self._known}", param, ctx)
        return str(value)


DEVICE = click.option(
    "--device",
    type=Device(*KINDS),
    default="cpu",
    show_default=True,
    help="What runs the model: ONNX Runtime on the CPU or an NVIDIA GPU, or OpenVINO. If that device is not there the "
    "command fails; it never takes another one instead.",
)
TF32 = click.option(
    "--tf32/--no-tf32",
    default=False,
    show_default=True,
    help="Only with --device cuda: let convolutions round to TF32: faster, and less exact than what was verified.",
)
THREADS_IN_TURN = click.option(
    "--threads", type=Numbers(), default="1", show_default=True, help="Threads in an operator; several in turn."
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many processor threads one run may use.",
)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="float16: all but inputs and outputs. int8: each layer in int8 or float32, whatever is faster together; "
    "searched for by measuring, needs --data or --dataset to calibrate on.",
)
CALIBRATION = click.option(
    "--calibration",
    type=click.Choice(["minmax", "percentile", "entropy"]),
    default="minmax",
    show_default=True,
    help="int8: how ranges are found: all values, or without the rarest.",
)
MAX_ACCURACY_DROP = click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(0),
    metavar="F",
    help="int8: points of accuracy that may be lost; without labels, percent of predictions that may change.",
)
UNPRUNED = click.option(
    "--unpruned",
    type=FILE,
    metavar="FILE",
    help="int8: also race against this network in int8; `prune --dense-out` writes it.",
)
