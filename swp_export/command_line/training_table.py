"""A training's epochs as curves for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from swp_export.command_line.drawing import curve
from swp_export.command_line.table import new_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from swp_export.training.log import TrainingLog
    from swp_export.training.report import TrainReport


def train_tables(report: TrainReport) -> list[RenderableType]:
    """Return the curves of a finished training, and what came of it in one line."""
    return [_curves(report.log), report.summary()]


def log_tables(log: TrainingLog) -> list[RenderableType]:
    """Return the curves of a training's log."""
    return [_curves(log)]


def _curves(log: TrainingLog) -> Table:
    """Return losses, accuracies and live stripes, in all and per layer, from the first epoch to the last."""
    headings = ("", ">After epoch 1", ">After the last", "Curve")
    caption = "Each curve runs from its lowest to its highest value."
    table = new_table(f"{log.file}: {len(log.epochs)} epochs", *headings, caption=caption)
    for name, key, unit in (
        ("Loss", "loss", ""),
        ("Loss on the test set", "test_loss", ""),
        ("Accuracy", "accuracy", " %"),
        ("Accuracy on the test set", "test_accuracy", " %"),
    ):
        values = [float(record[key]) for record in log.epochs]
        table.add_row(name, *(f"{value:.4g}{unit}" for value in (values[0], values[-1])), curve(values))
    live = [record["live_stripes"] for record in log.epochs]
    table.add_section()
    _add_counts(table, "Live stripes", [sum(counts.values()) for counts in live])
    table.add_section()
    for layer in live[0]:
        _add_counts(table, escape(layer), [counts.get(layer, 0) for counts in live])
    return table


def _add_counts(table: Table, name: str, counts: Sequence[int]) -> None:
    table.add_row(name, f"{counts[0]:,}", f"{counts[-1]:,}", curve(counts))
