"""The search over whole models: the best of some uniform plans, then layer by layer as long as it gets faster.

A layer is a few percent of a model, and its forms differ by a few percent of that. So variants are compared in a
few runs, then with short measurements, and the few that are left with long ones, which alone decide.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import onnx

from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import speedup
from swp_export.errors import SwpExportError
from swp_export.lowerings import float_lowerings
from swp_export.lowerings.rewrite import planned_bytes
from swp_export.tuning.candidates import Discarded
from swp_export.tuning.trial_order import trial_deadline, trial_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx_ir as ir

    from swp_export.benchmark.statistics import Speedup
    from swp_export.tuning.candidates import Candidate
    from swp_export.tuning.model_timer import ModelTimer

    Plan = dict[str, str]

logger = logging.getLogger(__name__)

FAILURES = (SwpExportError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError)
"""What building or running a variant may raise: whichever it is, the variant is discarded and the search goes on."""
SHORT = Schedule(min_runs=10, min_seconds=0.05, instances=5, window_seconds=0.01)
"""How variants of the whole model are compared first."""
LONG = Schedule(min_runs=10, min_seconds=0.25, instances=10, window_seconds=0.01)
"""How the last of them are: where their buffers lie matters more than the runs of each instance."""
FINALISTS = 2
"""How many variants are compared with the incumbent for long."""
FAR_BEHIND = 1.5
"""A variant that takes so many times the fastest in a few runs is not measured."""
ALTERNATIVES = 4
"""How many other lowerings of a layer are tried in the whole model."""
SLACK = 1.25
"""A lowering is tried in the whole model if alone it took at most so many times the layer's fastest."""


class Search:
    """Compares variants of one model; remembers how many there were, and which did not work."""

    def __init__(
        self,
        compact: ir.Model,
        timer: ModelTimer,
        shape: Sequence[int],
        progress: Callable[[str], None],
        *,
        write: Callable[[ir.Model, Plan, int], bytes] | None = None,
        forms: Sequence[str] | None = None,
        always: Mapping[str, str] | None = None,
    ) -> None:
        """Search for the fastest plan of `compact`, for inputs of `shape`.

        Args:
            compact: unlowered.
            timer: where and how it runs.
            shape: of the input.
            progress: called with what is being done.
            write: gives a plan's content; default: in float32.
            forms: what is tried for all layers, the safest first; default: every lowering that is one of float32.
            always: a form of each layer that is tried however it did alone.

        """
        self._write = write or planned_bytes
        self._forms = float_lowerings() if forms is None else forms
        self._always = always or {}
        self._compact = compact
        self._timer = timer
        self._shape = shape
        self._progress = progress
        self.variants = 0
        self.discarded: list[Discarded] = []

    def best_start(self, first: Plan, own: Plan, candidates: Sequence[Candidate], deadline: float = math.inf) -> Plan:
        """Return the fastest of `first`, the model's own plan, each layer's fastest alone, each lowering everywhere."""
        layers = list(first)
        refused = {(d.layer, d.lowering) for d in self.discarded}
        plans = [first, own, fastest_alone(first, candidates)]
        plans += [
            {layer: self._forms[0] if (layer, form) in refused else form for layer in layers} for form in self._forms
        ]
        unique = list({tuple(sorted(plan.items())): plan for plan in plans}.values())
        self._progress(f"comparing {len(unique)} plans for the whole model")
        return self._fastest(unique, deadline)

    def refine(self, plan: Plan, candidates: Sequence[Candidate], deadline: float) -> Plan:
        """Change one layer at a time, those that take longest first, until nothing helps or time is up.

        A layer is tried again only after one beside it has changed.
        """
        times: dict[str, dict[str, float]] = {}
        for candidate in candidates:
            times.setdefault(candidate.layer, {})[candidate.lowering] = candidate.median_ms
        waiting = sorted(times, key=lambda layer: times[layer].get(plan[layer], 0.0), reverse=True)
        while waiting and time.monotonic() <= deadline:
            layer = waiting.pop(0)
            self._progress(f"refining layer {layer} in the whole model")
            others = dict.fromkeys([*alternatives(times[layer], plan[layer]), self._always.get(layer, plan[layer])])
            changed = self._fastest(
                [plan, *({**plan, layer: other} for other in others if other != plan[layer])], deadline
            )
            if changed != plan:
                plan = changed
                waiting += [other for other in _beside(layer, list(plan)) if other in times and other not in waiting]
        return plan

    def _fastest(self, plans: Sequence[Plan], deadline: float) -> Plan:
        """Return the fastest of `plans`; another than the first only if the measurement shows that it is faster.

        After the deadline none is begun on CUDA but the first and one other.
        """
        built = self._tried(plans, deadline) if len(plans) > 1 else []
        if len(built) < 2:
            return built[0][0] if built else plans[0]
        limit = FAR_BEHIND * min(seconds for *_, seconds in built)
        first, *others = [(plan, content) for plan, content, _ in built]
        others = [variant for variant, (*_, seconds) in zip(others, built[1:], strict=True) if seconds <= limit]
        ranked = self._compared(first, others, SHORT)
        finalists = [others[index] for index, ratio in ranked if ratio.high >= 1][:FINALISTS]
        for index, ratio in self._compared(first, finalists, LONG):
            if ratio.low > 1:
                logger.debug("%d variants, the best is %.3f times as fast as the first", len(built), ratio.speedup)
                return finalists[index][0]
        return first[0]

    def _tried(self, plans: Sequence[Plan], deadline: float) -> list[tuple[Plan, bytes, float]]:
        """Return the plans that work, the first of them first, with their models and the seconds of a run."""
        written: dict[int, bytes] = {}
        for index, plan in enumerate(plans):
            try:
                written[index] = self._write(self._compact, plan, self._timer.multiple)
            except FAILURES as error:
                self._discard(plan, plans[0], error)
        built: dict[int, tuple[Plan, bytes, float]] = {}
        rivals = {index: content for index, content in written.items() if index}
        for index in (*written.keys() - rivals, *trial_order(rivals, self._timer.target)):
            if len(built) > 1 and time.monotonic() > trial_deadline(deadline, self._timer.target):
                break
            try:
                built[index] = plans[index], written[index], self._timer.quick_seconds(written[index], self._shape)
            except FAILURES as error:
                self._discard(plans[index], plans[0], error)
        return [built[index] for index in sorted(built)]

    def _compared(
        self, first: tuple[Plan, bytes], others: Sequence[tuple[Plan, bytes]], schedule: Schedule
    ) -> list[tuple[int, Speedup]]:
        """Return the index of each of `others` and its speedup over `first`, the fastest first."""
        if not others:
            return []
        contents = [content for _, content in (first, *others)]
        instances = self._timer.measure(contents, self._shape, schedule)
        self.variants += len(contents)
        ratios = [speedup(instances[0], measured) for measured in instances[1:]]
        return sorted(enumerate(ratios), key=lambda item: item[1].speedup, reverse=True)

    def discard(self, form: str, reason: str) -> None:
        """Note that a whole model, written as `form`, is not considered further."""
        self.discarded.append(Discarded(layer="(all)", lowering=form, reason=reason))

    def _discard(self, plan: Plan, incumbent: Mapping[str, str], error: Exception) -> None:
        changed = [layer for layer in plan if plan[layer] != incumbent.get(layer)]
        names = {plan[layer] for layer in changed}
        self.discarded.append(
            Discarded(
                layer=changed[0] if len(changed) == 1 else "(all)", lowering=", ".join(sorted(names)), reason=str(error)
            )
        )


def fastest_alone(first: Plan, candidates: Sequence[Candidate]) -> Plan:
    """Return each layer's fastest lowering alone; that of the plan `first` for layers that were not measured."""
    plan = dict(first)
    best: dict[str, float] = {}
    for candidate in candidates:
        if candidate.median_ms < best.get(candidate.layer, float("inf")):
            best[candidate.layer] = candidate.median_ms
            plan[candidate.layer] = candidate.lowering
    return plan


def alternatives(times: Mapping[str, float], current: str) -> list[str]:
    """Return the lowerings of a layer that are worth a try in the whole model, fastest alone first.

    Those that write the layer alike were measured once, and have the very same time: one of them is enough.
    """
    limit = SLACK * min(times.values())
    first = {ms: name for name, ms in reversed(list(times.items())) if ms <= limit and ms != times.get(current)}
    return [first[ms] for ms in sorted(first)[:ALTERNATIVES]]


def _beside(layer: str, layers: Sequence[str]) -> list[str]:
    """Return the layers before and after `layer`."""
    at = layers.index(layer)
    return [*layers[max(0, at - 1) : at], *layers[at + 1 : at + 2]]
