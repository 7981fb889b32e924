"""Bars for each layer: what it had, what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.page.layers import layer_rows, layer_times
from swp_export.page.plots.style import AFTER, BEFORE, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents

_FULLEST = 30
"""Layers whose names have room below the bars, in inches of a printed line; of more, some are left out."""


def stripes_plot(documents: Documents) -> Figure | None:
    """Draw the share of the stripes that is left in each layer."""
    listing = documents.first("prune", "inspect")
    layers = [] if listing is None else [layer for layer in listing.content["layers"] if layer["stripes"]]
    if not layers or any(layer["live_stripes"] is None for layer in layers):
        return None
    figure, axes = _axes("stripes left, % of the layer's", [layer["name"] for layer in layers])
    shares = [100 * layer["live_stripes"] / layer["stripes"] for layer in layers]
    axes.bar(range(len(layers)), shares, color=AFTER)
    return figure


def parameters_plot(documents: Documents) -> Figure | None:
    """Draw the parameters of each layer in the files, before and after."""
    return _before_and_after(documents, "params", "parameters in the file")


def flops_plot(documents: Documents) -> Figure | None:
    """Draw the FLOPs of each layer as executed, before and after."""
    return _before_and_after(documents, "flops", "FLOPs executed per image")


def time_plot(documents: Documents) -> Figure | None:
    """Draw the time of each layer in the baseline and in the model."""
    listing, times = documents.first("prune", "inspect"), layer_times(documents)
    if listing is None or times is None:
        return None
    rows = layer_rows(listing, times)
    figure, axes = _axes("time, ms", [row.entry["name"] for row in rows])
    _pairs(axes, [row.ms_before or 0 for row in rows], [row.ms_after or 0 for row in rows])
    return figure


def _before_and_after(documents: Documents, quantity: str, label: str) -> Figure | None:
    document = documents.first("prune")
    if document is None or not document.content["layers"]:
        return None
    layers = document.content["layers"]
    figure, axes = _axes(label, [layer["name"] for layer in layers])
    axes.set_yscale("symlog", linthresh=max(1, min(layer[f"{quantity}_before"] for layer in layers) // 10))
    _pairs(axes, *([layer[f"{quantity}_{when}"] for layer in layers] for when in ("before", "after")))
    return figure


def _axes(label: str, names: Sequence[str]) -> tuple[Figure, Axes]:
    figure = new_figure(3.4)
    axes = figure.add_subplot()
    step = -(-len(names) // _FULLEST)
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90)
    axes.set_xlim(-0.8, len(names) - 0.2)
    axes.set_ylabel(label)
    return figure, axes


def _pairs(axes: Axes, before: Sequence[float], after: Sequence[float]) -> None:
    places = range(len(before))
    axes.bar([place - 0.2 for place in places], before, 0.4, color=BEFORE, label="before")
    axes.bar([place + 0.2 for place in places], after, 0.4, color=AFTER, label="after", hatch="///", edgecolor=AFTER)
    axes.legend()
