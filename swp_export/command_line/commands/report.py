"""The command `report`: one HTML page from what the other commands printed with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swp_export.command_line.options import FORCE, options

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("documents", nargs=-1, required=True, metavar="JSON...", type=click.Path())
@click.option(
    "-o", "--output", default="report.html", show_default=True, metavar="FILE", type=click.Path(), help="The page."
)
@click.option(
    "--figures",
    metavar="DIR",
    type=click.Path(),
    help="Also write every plot into this folder, as SVG and PNG, with the skeletons as the paper draws them.",
)
@options(FORCE)
def report(*, documents: Sequence[str], output: str, figures: str | None, force: bool) -> None:
    r"""Make one HTML page of what commands printed with --json.

    JSON... are documents of inspect, prune, tune, bench, verify, sweep, check and train, of one network. The page needs
    nothing beside it and asks no server for anything.

    \b
    Example:
      swp-export prune ckpt.pth --threshold 0.01 -o model.onnx --dense-out dense.onnx --json > prune.json
      swp-export bench model.onnx --baseline dense.onnx --layers --json > bench.json
      swp-export report prune.json bench.json -o report.html
    """
    from swp_export.page.page import report as run

    run(documents, output=output, figures=figures, force=force)
    click.echo(output)
