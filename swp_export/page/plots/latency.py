"""How long runs of each model take."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from swp_export.page.plots.style import AFTER, INK, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents


def latency_plot(documents: Documents) -> Figure | None:
    """Draw the distribution of each model's latencies at each batch, the baseline on top.

    Box and whiskers where the document has the samples (quartiles; from the 1st to the 99th percentile), else the
    median and a line to the 90th percentile.
    """
    results: list[dict[str, Any]] = [
        result for document in documents.of("bench") for result in document.content["models"]
    ]
    if not results:
        return None
    figure = new_figure(0.8 + 0.42 * len(results))
    axes = figure.add_subplot()
    for place, result in enumerate(results):
        if result.get("samples_ms"):
            axes.boxplot(
                _flat(result["samples_ms"]),
                positions=[place],
                orientation="horizontal",
                whis=(1, 99),
                widths=0.6,
                showfliers=False,
                boxprops={"color": INK},
                medianprops={"color": AFTER, "linewidth": 2},
                whiskerprops={"color": INK},
                capprops={"color": INK},
            )
        else:
            axes.plot([result["median_ms"], result["p90_ms"]], [place, place], color=INK)
            axes.plot([result["median_ms"]], [place], "o", color=AFTER)
    names = [_name(result, several_threads=len({result["threads"] for result in results}) > 1) for result in results]
    axes.set_yticks(range(len(results)), names)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x")
    axes.set_xlabel("latency of a run, ms")
    return figure


def _flat(samples: Any) -> list[float]:
    """Return the numbers of samples, which lie by instance and by round."""
    return [number for part in samples for number in _flat(part)] if isinstance(samples, list) else [samples]


def _name(result: Mapping[str, Any], *, several_threads: bool) -> str:
    threads = f", {result['threads']} threads" if several_threads else ""
    return f"{PurePath(result['model']).name}, batch {result['batch']}{threads}"
