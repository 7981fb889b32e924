"""What each threshold of a sweep costs, and what it gives for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swp_export.page.plots.style import AFTER, BEFORE, INK, THIRD, new_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents

    Point = Mapping[str, Any]


def pareto_plot(documents: Documents) -> Figure | None:
    """Draw accuracy, or the error where no labels are known, against FLOPs and, where it was measured, latency.

    The Pareto front is a line; the recommended and the chosen threshold are marked.
    """
    document = documents.first("sweep")
    if document is None:
        return None
    sweep = document.content
    costs: list[tuple[str, str, Callable[[Point], float | None]]] = [
        ("flops", "MFLOPs executed per image", lambda point: point["flops"] / 1e6),
        ("latency", "median latency of the fastest form, ms", _fastest),
    ]
    drawn = [cost for cost in costs if all(cost[2](point) is not None for point in _points(sweep))]
    figure = new_figure(3.2)
    panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
    for axes, (name, label, cost) in zip(panels, drawn, strict=True):
        _draw_front(axes, sweep, sweep["fronts"][name], cost)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
    panels[0].set_ylabel("accuracy, %" if _has_accuracy(sweep) else "error, share of the largest output")
    panels[0].legend()
    return figure


def accuracy_plot(documents: Documents) -> Figure | None:
    """Draw accuracy, or the error, and the live stripes against the threshold."""
    document = documents.first("sweep")
    points = [] if document is None else document.content["points"]
    if document is None or not points:
        return None
    figure = new_figure(4.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    thresholds = [point["threshold"] for point in points]
    upper.plot(thresholds, [_worth(point, document.content) for point in points], "o-", color=AFTER)
    upper.set_ylabel("accuracy, %" if _has_accuracy(document.content) else "error")
    lower.plot(thresholds, [100 * point["live_stripes"] / point["stripes"] for point in points], "s-", color=THIRD)
    lower.set_ylabel("live stripes, %")
    lower.set_ylim(bottom=0)
    if thresholds[0] > 0:
        lower.set_xscale("log")
    lower.set_xlabel("threshold of |FilterSkeleton|")
    return figure


def _draw_front(axes: Axes, sweep: Mapping[str, Any], front: list[float | None], cost: Callable[[Point], Any]) -> None:
    by_threshold: dict[float | None, tuple[Any, Any]] = {
        point["threshold"]: (cost(point), _worth(point, sweep)) for point in _points(sweep)
    }
    axes.plot(*zip(*by_threshold.values(), strict=True), "o", color=BEFORE, label="threshold")
    axes.plot(
        *zip(*(by_threshold[threshold] for threshold in front), strict=True), "-", color=AFTER, label="Pareto front"
    )
    axes.plot(*by_threshold[None], "D", color=INK, label="unpruned")
    for key, mark, colour in (("recommended", "s", AFTER), ("chosen", "*", THIRD)):
        choice = sweep.get(key)
        if choice is not None and choice["threshold"] in by_threshold:
            axes.plot(
                *by_threshold[choice["threshold"]],
                mark,
                color=colour,
                markersize=11,
                label=f"{key}: {choice['threshold']:g}",
            )


def _points(sweep: Mapping[str, Any]) -> list[Point]:
    return [sweep["unpruned"], *sweep["points"]]


def _has_accuracy(sweep: Mapping[str, Any]) -> bool:
    return all((point["accuracy"] or {}).get("after") is not None for point in _points(sweep))


def _worth(point: Point, sweep: Mapping[str, Any]) -> float | None:
    found: float | None = point["accuracy"]["after"] if _has_accuracy(sweep) else point["error"]
    return found


def _fastest(point: Point) -> float | None:
    return min((form["median_ms"] for form in point["latency"].values()), default=None)
