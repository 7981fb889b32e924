"""The command `verify`: whether a model computes what a checkpoint, or another model, computes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from swp_export.command_line.accuracy_options import DATASET
from swp_export.command_line.options import (
    ARCH,
    DATA,
    DEVICE,
    FILE,
    FORCE,
    INPUT_SHAPE,
    JSON,
    MAX_ACCURACY_DROP,
    THRESHOLD,
    VERBOSITY,
    examples,
    options,
)
from swp_export.errors import SwpExportError
from swp_export.verification.report import NotEquivalentError


@click.command(
    epilog=examples(
        "swp-export verify small.onnx --against best.pth.tar --threshold 0.01",
        "swp-export verify small.onnx --against dense.onnx --data images.npz",
        "swp-export verify small.onnx --against dense.onnx --junit equivalence.xml",
    )
)
@click.argument("model", type=FILE)
@click.option(
    "--against",
    type=FILE,
    required=True,
    metavar="FILE",
    help="What MODEL must compute: the checkpoint that it came from, or another ONNX model.",
)
@options(THRESHOLD, ARCH, INPUT_SHAPE, DATA, DATASET)
@click.option(
    "--atol",
    type=float,
    metavar="A",
    help="Allow |difference| <= A + R * |value| instead of what rounding explains; with --rtol R.",
)
@click.option("--rtol", type=float, metavar="R", help="See --atol.")
@options(MAX_ACCURACY_DROP)
@click.option("--junit", type=FILE, metavar="FILE", help="Also write the comparisons as JUnit XML, for CI.")
@options(DEVICE, FORCE, VERBOSITY, JSON)
def verify(*, model: str, junit: str | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Check that MODEL computes what another file computes.

    MODEL is run in float32 and compared with the other in float64, on noise, zeros, impulses and more. Exits with 0 if
    both compute the same, with 1 if not, and then names the first layer that is off. Of a MODEL in int8 every integer
    is checked, and what rounding does to layers and predictions is measured on --data.
    """
    from swp_export.atomic import atomic_outputs
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report, print_warnings
    from swp_export.command_line.verify_table import verify_tables
    from swp_export.graph.files.external_data import files_of
    from swp_export.verification.junit import junit_xml, junit_xml_of_error
    from swp_export.verification.verify_file import verify as run

    inputs = (*files_of(model), *files_of(arguments["against"]), arguments["data"])
    started, clock = datetime.now(UTC), time.perf_counter()
    error: SwpExportError | None = None
    with atomic_outputs(junit, inputs=inputs, force=force) as (target,):
        try:
            with progress() as show:
                report = run(model, progress=show, **arguments)
        except SwpExportError as caught:
            if target is None:
                raise
            error = caught  # a CI system is to see it too
        if target is not None:
            took: dict[str, Any] = {"started": started, "seconds": time.perf_counter() - clock}
            text = (
                junit_xml(report, **took)
                if error is None
                else junit_xml_of_error(model, arguments["against"], str(error), **took)
            )
            target.write_text(text, encoding="utf-8")
    if error is not None:
        raise error
    print_warnings(getattr(report, "notes", ()))
    atol, rtol = arguments["atol"], arguments["rtol"]
    print_report(report, lambda found: verify_tables(found, atol=atol, rtol=rtol), as_json=as_json)
    if not report.equivalent:
        raise NotEquivalentError(report.summary(), report=report)
