"""The paper's picture of a network: each layer's kernel, and how many of its filters keep each tap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.page.layers import layer_rows
from swp_export.page.plots.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents

_COLUMNS = 8


def skeleton_plot(documents: Documents) -> Figure | None:
    """Draw a heat map of each layer with more than one tap; darker is kept by more filters, white by none.

    As figure 5 of "Pruning Filter in Filter" shows what is left of a network, layer by layer.
    """
    listing = documents.first("prune", "inspect")
    rows = [] if listing is None else [row for row in layer_rows(listing, None) if row.heat and len(row.heat) > 1]
    if not rows:
        return None
    lines = math.ceil(len(rows) / _COLUMNS)
    figure = new_figure(0.4 + 1.05 * lines)
    grid = figure.subplots(lines, _COLUMNS, squeeze=False)
    most, image = max(max(row.heat or ()) for row in rows), None
    for axes, row in zip(grid.flat, rows, strict=False):
        assert row.heat is not None
        image = axes.imshow(np.reshape(row.heat, row.kernel), cmap="Blues", vmin=0, vmax=most)
        axes.set_title(row.entry["name"], fontsize=6)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    assert image is not None
    figure.colorbar(image, ax=grid, label="share of the filters", shrink=0.5)
    return figure
