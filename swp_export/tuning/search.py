"""The search over whole models: the best of some uniform plans, then layer by layer as long as it gets faster."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import speedup
from swp_export.lowerings import LOWERINGS
from swp_export.tuning.report import Discarded
from swp_export.tuning.variants import FAILURES, planned_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir

    from swp_export.tuning.race import Track
    from swp_export.tuning.report import Candidate

    Plan = dict[str, str]

logger = logging.getLogger(__name__)

SCHEDULE = Schedule(min_runs=10, min_seconds=0.05, instances=5, window_seconds=0.01)
"""How variants of the whole model are compared."""
ALTERNATIVES = 4
"""How many other lowerings of a layer are tried in the whole model."""
SLACK = 1.5
"""A lowering is tried in the whole model if alone it took at most so many times the layer's fastest."""


class Search:
    """Compares variants of one model; remembers how many there were, and which did not work."""

    def __init__(self, compact: ir.Model, track: Track, shape: Sequence[int], progress: Callable[[str], None]) -> None:
        self._compact = compact
        self._track = track
        self._shape = shape
        self._progress = progress
        self.variants = 0
        self.discarded: list[Discarded] = []

    def best_start(self, layers: Sequence[str], candidates: Sequence[Candidate], own: Plan) -> Plan:
        """Return the fastest of the model's own plan, each layer's fastest alone, each lowering wherever it applies."""
        refused = {(d.layer, d.lowering) for d in self.discarded}
        plans = [own, fastest_alone(layers, candidates)]
        plans += [
            {layer: "dense" if (layer, lowering) in refused else lowering for layer in layers} for lowering in LOWERINGS
        ]
        unique = list({tuple(sorted(plan.items())): plan for plan in plans}.values())
        self._progress(f"comparing {len(unique)} plans for the whole model")
        return self._fastest(unique)

    def refine(self, plan: Plan, candidates: Sequence[Candidate], deadline: float) -> Plan:
        """Change one layer at a time, those that take longest first, until nothing helps or time is up."""
        times: dict[str, dict[str, float]] = {}
        for candidate in candidates:
            times.setdefault(candidate.layer, {})[candidate.lowering] = candidate.median_ms
        order = sorted(times, key=lambda layer: times[layer].get(plan[layer], 0.0), reverse=True)
        improved = True
        while improved:
            improved = False
            for layer in order:
                if time.monotonic() > deadline:
                    return plan
                self._progress(f"refining layer {layer} in the whole model")
                changed = self._fastest(
                    [plan, *({**plan, layer: other} for other in alternatives(times[layer], plan[layer]))]
                )
                improved |= changed != plan
                plan = changed
        return plan

    def _fastest(self, plans: Sequence[Plan]) -> Plan:
        """Return the fastest of `plans`; another than the first only if the measurement shows that it is faster."""
        built: list[tuple[Plan, bytes]] = []
        for plan in plans:
            try:
                content = planned_bytes(self._compact, plan, self._track.block)
                self._track.opener(content, self._shape)()
            except FAILURES as error:
                self._discard(plan, plans[0], error)
            else:
                built.append((plan, content))
        if len(built) < 2:
            return built[0][0] if built else plans[0]
        instances = self._track.race([content for _, content in built], self._shape, SCHEDULE)
        self.variants += len(built)
        best, gain = built[0][0], 1.0
        for (plan, _), measured in zip(built[1:], instances[1:], strict=True):
            ratio = speedup(instances[0], measured)
            if ratio.low > 1 and ratio.speedup > gain:
                best, gain = plan, ratio.speedup
        logger.debug("%d variants, best %.3f times the first", len(built), gain)
        return best

    def _discard(self, plan: Plan, incumbent: Mapping[str, str], error: Exception) -> None:
        changed = [layer for layer in plan if plan[layer] != incumbent.get(layer)]
        names = {plan[layer] for layer in changed}
        self.discarded.append(
            Discarded(
                layer=changed[0] if len(changed) == 1 else "(all)", lowering=", ".join(sorted(names)), reason=str(error)
            )
        )


def fastest_alone(layers: Sequence[str], candidates: Sequence[Candidate]) -> Plan:
    """Return each layer's fastest lowering alone; dense for layers that were not measured."""
    plan = dict.fromkeys(layers, "dense")
    best: dict[str, float] = {}
    for candidate in candidates:
        if candidate.median_ms < best.get(candidate.layer, float("inf")):
            best[candidate.layer] = candidate.median_ms
            plan[candidate.layer] = candidate.lowering
    return plan


def alternatives(times: Mapping[str, float], current: str) -> list[str]:
    """Return the lowerings of a layer that are worth a try in the whole model, fastest alone first."""
    limit = SLACK * min(times.values())
    ranked = sorted((ms, name) for name, ms in times.items() if name != current and ms <= limit)
    return [name for _, name in ranked[:ALTERNATIVES]]
