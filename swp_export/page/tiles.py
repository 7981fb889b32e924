"""The few figures that stand on top of the page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swp_export.page.documents import Document, Documents


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure: its `label`, where it lies in which `document`, its `format`, and what it was before."""

    label: str
    document: Document
    path: str
    format: str
    before: str | None = None


def tiles(documents: Documents) -> list[Tile]:
    """Return what the documents have to say at one look."""
    found = [
        *_of_sweep(documents),
        *_of_prune(documents),
        *_of_bench(documents),
        *_of_accuracy(documents),
        *_of_verification(documents),
    ]
    return [tile for tile in found if tile.document.at(tile.path) is not None]


def _of_sweep(documents: Documents) -> Iterator[Tile]:
    document = documents.first("sweep")
    if document is not None:
        yield Tile(label="Threshold chosen", document=document, path="chosen.threshold", format="plain")


def _of_prune(documents: Documents) -> Iterator[Tile]:
    document = documents.first("prune")
    if document is not None:
        yield Tile(label="File", document=document, path="bytes", format="megabytes")
        for label, path, format_ in (("Parameters", "params", "short"), ("FLOPs per image", "flops", "short")):
            after, before = f"totals.{path}_after", f"totals.{path}_before"
            yield Tile(label=label, document=document, path=after, format=format_, before=before)
    elif (document := documents.first("inspect")) is not None:
        yield Tile(label="File", document=document, path="bytes", format="megabytes")
        yield Tile(label="Parameters", document=document, path="parameters", format="short")
        yield Tile(
            label="Live stripes", document=document, path="totals.live_stripes", format="count", before="totals.stripes"
        )


def _of_bench(documents: Documents) -> Iterator[Tile]:
    document = documents.first("bench")
    if document is None:
        return
    for n, comparison in enumerate(document.content["ratios"][:2]):
        label = f"Faster than the baseline, batch {comparison['batch']}"
        yield Tile(label=label, document=document, path=f"ratios.{n}.speedup", format="times")
    if not document.content["ratios"]:
        yield Tile(label="Latency, median", document=document, path="models.0.median_ms", format="milliseconds")


def _of_accuracy(documents: Documents) -> Iterator[Tile]:
    for document in documents.all:
        if isinstance(document.at("accuracy"), dict):
            before = "accuracy.before"
            yield Tile(label="Accuracy", document=document, path="accuracy.after", format="percent", before=before)
            return


def _of_verification(documents: Documents) -> Iterator[Tile]:
    for document in documents.all:
        path = "error_to_budget" if document.command == "verify" else "verification.error_to_budget"
        if document.at(path) is not None:
            yield Tile(label="Largest error, of its budget", document=document, path=path, format="share")
            return
