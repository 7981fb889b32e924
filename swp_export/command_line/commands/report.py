"""The command `report`: one HTML page from what the other commands printed with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swp_export.command_line.options import FILE, FOLDER, FORCE, VERBOSITY, examples, options

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    epilog=examples(
        "swp-export prune best.pth --threshold 0.01 -o small.onnx --json > prune.json",
        "swp-export bench small.onnx --layers --json > bench.json",
        "swp-export report prune.json bench.json -o report.html",
    )
)
@click.argument("documents", nargs=-1, required=True, metavar="JSON...", type=FILE)
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", type=FILE, help="The page.")
@click.option(
    "--figures",
    metavar="DIR",
    type=FOLDER,
    help="Also write every plot into this folder, as SVG and PNG, and the skeletons as the paper draws them.",
)
@options(FORCE, VERBOSITY)
def report(*, documents: Sequence[str], output: str, figures: str | None, force: bool) -> None:
    """Make one HTML page of what commands printed with --json.

    The documents are of inspect, prune, tune, bench, verify, sweep, check and train, about one network. The page needs
    nothing beside it and asks no server for anything.
    """
    from swp_export.page.page import report as run

    run(documents, output=output, figures=figures, force=force)
    click.echo(output)
