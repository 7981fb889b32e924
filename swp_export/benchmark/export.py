"""A benchmark as files: JSON with every single run, CSV and Markdown with a line for each model."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.atomic import atomic_outputs
from swp_export.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swp_export.benchmark.report import BenchReport

COLUMNS = (
    *("model", "device", "threads", "streams", "batch", "median_ms", "p90_ms", "p99_ms", "iqr_ms", "runs"),
    *("images_per_second", "speedup", "low", "high", "verdict"),
)


@contextlib.contextmanager
def written_exports(
    paths: Sequence[str | Path], *, inputs: Sequence[str | Path | None], force: bool
) -> Iterator[Callable[[BenchReport], None]]:
    """Yield what writes a report to `paths`; that they can be written is checked before, as nobody measures twice.

    Raises:
        OutputError: A suffix is none of .json, .csv and .md, or as `atomic_outputs`.

    """
    for path in paths:
        if Path(path).suffix not in FORMATS:
            raise OutputError(f"{path}: a benchmark is exported as one of {', '.join(FORMATS)}; name such a file")
    with atomic_outputs(*paths, inputs=inputs, force=force) as files:

        def write(report: BenchReport) -> None:
            for path, file in zip(paths, files, strict=True):
                assert file is not None
                file.write_text(FORMATS[Path(path).suffix](report), encoding="utf-8")

        yield write


def to_json(report: BenchReport) -> str:
    """Return the JSON document with `samples_ms`: for each loaded instance, for each round, each run."""
    return json.dumps(report.to_json(samples=True), allow_nan=False) + "\n"


def to_csv(report: BenchReport) -> str:
    """Return a line for each model on each target, with the speedup over the baseline where there is one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(report))
    return text.getvalue()


def to_markdown(report: BenchReport) -> str:
    """Return a table with the lines of `to_csv`, and the conditions below it."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *_rows(report)]
    table = "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)
    environment = report.environment
    where = environment.gpu or environment.cpu.model
    remarks = "".join(f"\n{remark}\n" for remark in report.remarks)
    return f"{table}\n\n{report.provider} on {where}, {environment.runtime}\n{remarks}"


FORMATS = {".json": to_json, ".csv": to_csv, ".md": to_markdown}
"""What makes the text of a file, by its suffix."""


def _rows(report: BenchReport) -> Iterator[tuple[str | float, ...]]:
    ratios = iter(report.ratios)
    in_turn = len(report.models) // len(report.targets)
    for index, result in enumerate(report.models):
        target, found = result.target, result.latency
        of_model = (result.model, target.device, target.threads, result.streams, target.batch)
        times = (found.median_ms, found.p90_ms, found.p99_ms, found.iqr_ms, found.runs, result.images_per_second)
        ratio = next(ratios) if index % in_turn else None  # the first of each target is the baseline
        compared = ("",) * 4 if ratio is None else (ratio.speedup, ratio.low, ratio.high, ratio.verdict)
        yield *of_model, *times, *compared


def _cell(value: str | float) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", r"\|").replace("\n", " ")
