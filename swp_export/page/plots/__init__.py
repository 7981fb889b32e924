"""The plots of the page, which are the pictures for papers too, by Matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.page.plots.latency import latency_plot
from swp_export.page.plots.layers import flops_plot, parameters_plot, stripes_plot, time_plot
from swp_export.page.plots.skeletons import skeleton_plot
from swp_export.page.plots.sweeps import accuracy_plot, pareto_plot
from swp_export.page.plots.training import training_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents

    Draw = Callable[[Documents], Figure | None]

PLOTS: Mapping[str, tuple[str, Draw]] = {
    "pareto": ("Accuracy against cost, a point for each threshold", pareto_plot),
    "accuracy": ("Accuracy and stripes against the threshold", accuracy_plot),
    "stripes": ("Stripes left in each layer", stripes_plot),
    "parameters": ("Parameters of each layer, before and after", parameters_plot),
    "flops": ("FLOPs of each layer, before and after", flops_plot),
    "time": ("Time of each layer, before and after", time_plot),
    "latency": ("Latency of each model", latency_plot),
    "training": ("Loss, accuracy and live stripes of each epoch", training_plot),
    "skeletons": ("Share of the filters that keep each tap, layer by layer", skeleton_plot),
}
"""Each plot's title and what draws it, None where the documents have nothing for it; by its name as a file."""
