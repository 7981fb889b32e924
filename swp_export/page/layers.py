"""One row for each layer, joined from the documents that speak of it by its name in the checkpoint."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.page.documents import Document, Documents

LARGEST_STRIP = 48
"""Shapes of filters that a layer's strip shows; what is rarer is counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """Where the layer times of a page come from: the baseline's result and the model's, both by path in `document`.

    A layer's time is its share of the profiled kernels' time by the median latency.
    """

    document: Document
    before: str
    after: str

    def of(self, path: str, layer: str) -> float | None:
        """Return the milliseconds of `layer` in the model at `path`, 0 where it has no such layer."""
        result = self.document.at(path)
        shares = {entry["layer"]: entry["time_share"] for entry in result.get("layers") or ()}
        return float(shares.get(layer, 0.0) * result["median_ms"]) if shares else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer on the page.

    Attributes:
        entry: of the document that lists the layers, `prune`'s or `inspect`'s.
        path: of `entry` in that document.
        kernel: rows and columns of its pictures.
        heat: at each tap, row by row, the share of the filters that keep it, 0 to 1; None where nothing decided yet.
        histogram: how many filters have 0, 1, 2 ... live stripes.
        shapes: the most frequent shapes of its filters.
        rarer: filters of shapes that are not among them.
        ms_before: of the baseline, as `LayerTimes`; None where it was not measured.
        ms_after: of the model.

    """

    entry: Mapping[str, Any]
    path: str
    kernel: tuple[int, int]
    heat: tuple[float, ...] | None
    histogram: tuple[int, ...] | None
    shapes: tuple[Mapping[str, Any], ...]
    rarer: int
    ms_before: float | None
    ms_after: float | None


def layer_rows(listing: Document, times: LayerTimes | None) -> list[LayerRow]:
    """Return the rows of `listing`, a document of `prune` or `inspect`."""
    return [_row(entry, f"layers.{n}", times) for n, entry in enumerate(listing.content["layers"])]


def layer_times(documents: Documents) -> LayerTimes | None:
    """Return where the times of layers come from; None where no benchmark has them of a model and a baseline."""
    for document in documents.of("bench"):
        measured = [n for n, result in enumerate(document.content["models"]) if result.get("layers")]
        for comparison in document.content["ratios"]:
            by_file = {document.content["models"][n]["model"]: n for n in reversed(measured)}
            before, after = by_file.get(comparison["baseline"]), by_file.get(comparison["model"])
            if before is not None and after is not None:
                return LayerTimes(document=document, before=f"models.{before}", after=f"models.{after}")
    return None


def _row(entry: Mapping[str, Any], path: str, times: LayerTimes | None) -> LayerRow:
    kernel = tuple(entry["kernel"] if "kernel" in entry else entry["shape"][2:])
    shapes = entry.get("filter_shapes")
    shown = tuple(shapes or ())[:LARGEST_STRIP]
    columns = kernel[-1] if kernel else 1
    return LayerRow(
        entry=entry,
        path=path,
        kernel=(len(shapes[0]["taps"]) // columns if shapes else 1, columns),
        heat=_heat(shapes, entry["filters"]) if shapes else None,
        histogram=_histogram(shapes, entry["filters"]) if shapes else None,
        shapes=shown,
        rarer=sum(shape["filters"] for shape in (shapes or ())[LARGEST_STRIP:]),
        ms_before=None if times is None else times.of(times.before, entry["name"]),
        ms_after=None if times is None else times.of(times.after, entry["name"]),
    )


def _heat(shapes: list[dict[str, Any]], filters: int) -> tuple[float, ...]:
    taps = range(len(shapes[0]["taps"]))
    return tuple(
        sum(shape["filters"] for shape in shapes if shape["taps"][tap] == "1") / max(1, filters) for tap in taps
    )


def _histogram(shapes: list[dict[str, Any]], filters: int) -> tuple[int, ...]:
    counts = [0] * (len(shapes[0]["taps"]) + 1)
    for shape in shapes:
        counts[shape["taps"].count("1")] += shape["filters"]
    counts[0] += filters - sum(counts)  # what `prune` removed has no stripe left
    return tuple(counts)
