"""One threshold of a sweep: what is left of the network, what it gets right, and how fast it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from swp_export.verification.accuracy import Accuracy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.benchmark.statistics import Latency, Speedup


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormLatency:
    """How fast one form of a model is, and by how much it beats the unpruned network, measured in turns."""

    latency: Latency
    speedup: Speedup

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        ratio = dataclasses.asdict(self.speedup) | {"verdict": self.speedup.verdict}
        return dataclasses.asdict(self.latency) | {"over_unpruned": ratio}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """A network at one threshold, written as `prune` does by default; None is the unpruned network, written densely.

    Attributes:
        threshold: stripes of at most so much are dead.
        live_stripes: stripes that are left.
        stripes: of the unpruned network.
        dead_layers: convolutions without a live stripe.
        params: floats in the file.
        paper_params: by the paper's count: live stripes alone.
        flops: 2 per multiply-add that the file executes, for one image.
        paper_flops: by the paper's count: live stripes alone.
        bytes: size of the file.
        sha256: of the file.
        error: how far its outputs are from the unpruned network's, by the largest magnitude of the two; None where one
            is not finite.
        accuracy: against the unpruned network; None without data, or where it gives no classes.
        latency: by the name of the form; empty where nothing was measured.

    """

    threshold: float | None
    live_stripes: int
    stripes: int
    dead_layers: int
    params: int
    paper_params: int
    flops: int
    paper_flops: int
    bytes: int
    sha256: str
    error: float | None
    accuracy: Accuracy | None = None
    latency: Mapping[str, FormLatency] = dataclasses.field(default_factory=dict)

    @property
    def correct(self) -> float | None:
        """Accuracy in percent, where it is known."""
        return None if self.accuracy is None else self.accuracy.after

    @property
    def fastest_ms(self) -> float | None:
        """Median latency of the fastest form, where any was measured."""
        return None if self.fastest_form is None else self.latency[self.fastest_form].latency.median_ms

    @property
    def fastest_form(self) -> str | None:
        """Name of the form with the smallest median, where any was measured."""
        return min(self.latency, key=lambda form: self.latency[form].latency.median_ms, default=None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return document | {
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "latency": {name: form.to_json() for name, form in self.latency.items()},
        }


def point_from_json(document: Mapping[str, Any]) -> SweepPoint:
    """Return the point that `to_json` wrote, its latency left out.

    Raises:
        KeyError, TypeError: it is no such document.

    """
    names = {field.name for field in dataclasses.fields(SweepPoint)} - {"accuracy", "latency"}
    accuracy = document["accuracy"]
    fields = {field.name for field in dataclasses.fields(Accuracy)}
    return SweepPoint(
        **{name: document[name] for name in names},
        accuracy=None if accuracy is None else Accuracy(**{name: accuracy[name] for name in fields}),
    )
