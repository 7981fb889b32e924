"""How a training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.page.plots.style import AFTER, BEFORE, THIRD, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents


def training_plot(documents: Documents) -> Figure | None:
    """Draw loss, accuracy and live stripes of each epoch, one above the other."""
    document = documents.first("train")
    epochs = [] if document is None else document.at("log.epochs")
    if not epochs:
        return None
    figure = new_figure(5.4)
    loss, accuracy, stripes = figure.subplots(3, 1, sharex=True)
    at = [record["epoch"] for record in epochs]
    for axes, name, label in ((loss, "loss", "loss"), (accuracy, "accuracy", "accuracy, %")):
        axes.plot(at, [record[name] for record in epochs], "--", color=BEFORE, label="training")
        axes.plot(at, [record[f"test_{name}"] for record in epochs], color=AFTER, label="test")
        axes.set_ylabel(label)
    loss.legend()
    stripes.plot(at, [sum(record["live_stripes"].values()) for record in epochs], color=THIRD)
    stripes.set_ylim(bottom=0)
    stripes.set_ylabel("live stripes")
    stripes.set_xlabel("epoch")
    return figure
