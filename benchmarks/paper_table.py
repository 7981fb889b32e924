"""Print the rows of the paper's table (2009.14410, tables 1 and 2) that were trained here, beside the paper's.

    python benchmarks/paper_table.py RUNS

RUNS is the folder that `benchmarks/paper.sh` fills: `RUNS/<row>/unpruned` and `RUNS/<row>/pruned`.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import swp_export
from swp_export.training.log import read_log


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Percent of the parameters and FLOPs removed, and points of accuracy lost; the paper omits some parameters."""

    params: float | None
    flops: float
    lost: float


PAPER = {
    "vgg16": Row(params=92.66, flops=71.16, lost=-0.40),
    "resnet56": Row(params=77.7, flops=75.6, lost=0.12),
    "resnet18": Row(params=None, flops=54.58, lost=0.17),
}


def measured(run: Path) -> Row:
    """Return the row that was trained in `run`."""
    with tempfile.TemporaryDirectory() as folder:
        totals = swp_export.prune(run / "pruned" / "network.pth", output=Path(folder) / "pruned.onnx").totals
    unpruned, pruned = (
        read_log(run / part / "log.jsonl").epochs[-1]["test_accuracy"] for part in ("unpruned", "pruned")
    )
    return Row(
        params=totals.paper_params_removed_percent,
        flops=totals.paper_flops_removed_percent,
        lost=unpruned - pruned,
    )


def main(runs: Path) -> None:
    """Print the table."""
    table = Table("Network", "", "Parameters removed", "FLOPs removed", "Accuracy lost")
    for name, paper in PAPER.items():
        here = {"here": measured(runs / name)} if (runs / name / "pruned" / "network.pth").exists() else {}
        for source, row in ({"paper": paper} | here).items():
            params = "" if row.params is None else f"{row.params:.2f} %"
            table.add_row(name, source, params, f"{row.flops:.2f} %", f"{row.lost:+.2f} points")
    Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/paper_table.py RUNS")
    main(Path(sys.argv[1]))
