"""The command `verify`: whether a model computes what a checkpoint, or another model, computes."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import ARCH, DATA, FORCE, INPUT_SHAPE, JSON, THRESHOLD, options
from swp_export.verification.report import NotEquivalentError


@click.command()
@click.argument("model")
@click.option("--against", required=True, metavar="FILE", help="The checkpoint or ONNX model to compare with.")
@options(THRESHOLD, ARCH, INPUT_SHAPE, DATA, DATASET)
@click.option("--atol", type=float, metavar="F", help="With --rtol, replaces the error budget.")
@click.option("--rtol", type=float, metavar="F", help="With --atol, replaces the error budget.")
@click.option("--junit", metavar="FILE", help="Also write the comparisons as JUnit XML.")
@options(FORCE, JSON)
def verify(*, model: str, junit: str | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Check that MODEL computes what a checkpoint, or another model, computes.

    Exits with 0 if it does, 1 if it does not, and then names the first layer that diverges.
    """
    from swp_export.atomic import atomic_outputs
    from swp_export.command_line.terminal import print_report, print_warnings, progress
    from swp_export.command_line.verify_table import verify_tables
    from swp_export.graph.files.external_data import files_of
    from swp_export.verification.junit import junit_xml
    from swp_export.verification.verify_file import verify as run

    inputs = (*files_of(model), *files_of(arguments["against"]), arguments["data"])
    with atomic_outputs(junit, inputs=inputs, force=force) as (target,):
        with progress() as show:
            report = run(model, progress=show, **arguments)
        if target is not None:
            target.write_text(junit_xml(report), encoding="utf-8")
    print_warnings(report.notes)
    print_report(report, verify_tables, as_json=as_json)
    if not report.equivalent:
        raise NotEquivalentError(report.summary(), report=report)
