"""What a sweep found."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import TYPE_CHECKING, Any

from swp_export.sweeping.choice import worth
from swp_export.sweeping.front import pareto_front

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.benchmark.environment import Environment
    from swp_export.pruning.report import PruneReport
    from swp_export.sweeping.choice import Choice, Targets
    from swp_export.sweeping.point import SweepPoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepReport:
    """A network at many thresholds.

    Attributes:
        source: the file that was swept.
        sha256: of it.
        architecture: as which it was read; None for an ONNX source.
        gap: the widest one between the values that thresholds apply to, where one is wide.
        error_on: what `error` of the points was measured on.
        recalibrated: on what BatchNorm's statistics were estimated anew; None where they are those of the training.
        unpruned: the network before any stripe died.
        points: one a threshold, ascending.
        recommended: the threshold at the knee of the front.
        targets: what was asked for.
        chosen: the threshold that was taken, by `targets` or as recommended; None where none meets them.
        problem: why none was chosen, or why its model was not written.
        environment: of the latencies; None where none were measured.
        written: what `prune` says of the model at that threshold; None where none was to be written.

    """

    source: str
    sha256: str
    architecture: str | None
    gap: tuple[float, float] | None
    error_on: str
    recalibrated: str | None
    unpruned: SweepPoint
    points: tuple[SweepPoint, ...]
    recommended: Choice
    targets: Targets
    chosen: Choice | None
    problem: str | None
    environment: Environment | None
    written: PruneReport | None = None

    def front(self, axis: str) -> tuple[float | None, ...]:
        """Return the thresholds that no other beats in `axis`, flops or latency, and accuracy, cheapest first.

        Without labels that is the error in place of accuracy. None is the unpruned network. Empty where it was not
        measured.
        """
        cost: Callable[[SweepPoint], float | None] = {
            "flops": lambda point: point.flops,
            "latency": lambda point: point.fastest_ms,
        }[axis]
        every = [self.unpruned, *self.points]
        costs = [found for point in every if (found := cost(point)) is not None]
        if len(costs) < len(every):
            return ()
        return tuple(every[number].threshold for number in pareto_front(costs, [worth(point) for point in every]))

    def to_json(self) -> dict[str, Any]:
        """Return the document that `swp-export sweep --json` prints."""
        return {
            "command": "sweep",
            "source": self.source,
            "sha256": self.sha256,
            "architecture": self.architecture,
            "gap": None if self.gap is None else list(self.gap),
            "error_on": self.error_on,
            "recalibrated": self.recalibrated,
            "unpruned": self.unpruned.to_json(),
            "points": [point.to_json() for point in self.points],
            "fronts": {axis: list(self.front(axis)) for axis in ("flops", "latency")},
            "recommended": dataclasses.asdict(self.recommended),
            "targets": dataclasses.asdict(self.targets),
            "chosen": None if self.chosen is None else dataclasses.asdict(self.chosen),
            "problem": self.problem,
            "environment": None if self.environment is None else self.environment.to_json(),
            "written": None if self.written is None else self.written.to_json(),
        }

    def to_csv(self) -> str:
        """Return a table with one line a threshold, the unpruned network first."""
        forms = list(self.unpruned.latency)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        plain = ["threshold", "live_stripes", "stripes", "dead_layers", "params", "paper_params", "flops"]
        plain += ["paper_flops", "bytes", "error"]
        table.writerow([*plain, "accuracy_percent", "changed_predictions", *(f"{form}_median_ms" for form in forms)])
        for point in (self.unpruned, *self.points):
            cells = [getattr(point, name) for name in plain]
            changed = None if point.accuracy is None else point.accuracy.changed
            times = [point.latency[form].latency.median_ms for form in forms]
            table.writerow(["" if cell is None else cell for cell in (*cells, point.correct, changed, *times)])
        return text.getvalue()
