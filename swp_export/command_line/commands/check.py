"""The command `check`: whether models keep to the gates of a release."""

from __future__ import annotations

from typing import Any

import click

from swp_export.command_line.options import FILE, FORCE, JSON, VERBOSITY, examples, options


@click.command(
    epilog=examples("swp-export check gates.toml", "swp-export check gates.toml --junit gates.xml --json > gates.json")
    + """

\b
GATES.toml, with paths from its own folder:
  [defaults]                     # what holds for every model
  max_accuracy_drop = 0.5        # points; with labelled data, or a dataset
  data = "test.npz"
\b
  [models.resnet20]
  model = "resnet20.onnx"
  against = "best.pth.tar"       # it must compute the same; threshold, arch,
                                 # atol and rtol as `verify` has them
  max_bytes = 600_000
  max_params = 140_000
  max_flops = 61_000_000
  min_accuracy = 91.0            # percent
  device = "cpu"                 # must be there; threads, batch, seconds
  baseline = "dense.onnx"
  min_speedup = 1.5              # over the baseline, surely
  max_latency_ms = 3.0           # median
"""
)
@click.argument("gates", type=FILE, metavar="GATES.toml")
@click.option("--junit", type=FILE, metavar="FILE", help="Also write the result as JUnit XML, for CI.")
@options(FORCE, VERBOSITY, JSON)
def check(*, gates: str, junit: str | None, force: bool, as_json: bool, **arguments: Any) -> None:
    """Check that models keep to the gates in a file.

    Gates are what a release must keep to: that a model computes the same as its checkpoint, its size, speed and
    accuracy. Exits with 0 if all are passed, with 1 if one is missed, and with 2 if none is but one could not be
    judged.
    """
    from swp_export.atomic import atomic_outputs
    from swp_export.command_line.check_table import check_tables
    from swp_export.command_line.options import make_importable
    from swp_export.command_line.progress import progress
    from swp_export.command_line.terminal import print_report
    from swp_export.gates.check import check as run
    from swp_export.gates.gates_file import read_gates
    from swp_export.gates.junit import junit_xml
    from swp_export.gates.report import GatesNotPassedError
    from swp_export.graph.files.external_data import files_of

    asked = read_gates(gates)
    for of_model in asked:
        make_importable(of_model.arch)
    read = [path for of_model in asked for given in of_model.files for path in files_of(given)]
    with atomic_outputs(junit, inputs=(gates, *read), force=force) as (target,):
        with progress(measuring=any(each.measures_time for each in asked)) as show:
            report = run(gates, progress=show, **arguments)
        if target is not None:
            target.write_text(junit_xml(report), encoding="utf-8")
    print_report(report, check_tables, as_json=as_json)
    if not report.passed:
        raise GatesNotPassedError(report)
