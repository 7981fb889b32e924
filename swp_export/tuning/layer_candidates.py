"""Each layer's lowerings, measured alone: a first guess, since a layer's neighbours decide the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from swp_export.benchmark.measure import Schedule
from swp_export.lowerings import LOWERINGS, float_lowerings
from swp_export.tuning.candidates import Candidate, Discarded
from swp_export.tuning.layer_case import LayerCase, layer_model, with_filled_input
from swp_export.tuning.search import FAILURES
from swp_export.tuning.trial_order import trial_deadline, trial_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.tuning.cache import LayerCache
    from swp_export.tuning.model_timer import ModelTimer

SCHEDULE = Schedule(min_runs=10, min_seconds=0.015, instances=3, window_seconds=0.003)
"""A first guess: who is far behind alone need not be tried in the whole model."""
HOPELESS = 3.0
"""Of a lowering that takes so many times the layer's fastest in a few runs, nothing more is measured."""


def measure_layers(
    cases: Sequence[LayerCase],
    timer: ModelTimer,
    cache: LayerCache,
    *,
    deadline: float,
    progress: Callable[[str], None],
    lowerings: Sequence[str] | None = None,
    prefix: str = "",
    write: Callable[[LayerCase, str, int], bytes] = layer_model,
) -> tuple[list[Candidate], list[Discarded]]:
    """Measure the `lowerings` of each layer until `deadline` (of time.monotonic), those with the most work first.

    `write` gives a layer's content by the name of a lowering; `prefix` stands before that name in what is returned.
    """
    candidates: list[Candidate] = []
    discarded: list[Discarded] = []
    for case in sorted((with_filled_input(case, timer.multiple) for case in cases), key=_work, reverse=True):
        name = case.conv.name
        reasons = {lowering: LOWERINGS[lowering].why_not(case.conv) for lowering in lowerings or float_lowerings()}
        discarded += [Discarded(layer=name, lowering=prefix + k, reason=v) for k, v in reasons.items() if v is not None]
        key = prefix + cache.key(case, timer)
        times = cache.get(key)
        if times is None:
            if time.monotonic() > deadline:
                continue
            progress(f"measuring layer {name}")
            named = [k for k, v in reasons.items() if v is None]
            times, failures = _measure(case, timer, named, deadline, write)
            discarded += failures
            # A failure is reported in every run, and may have been the machine's.
            if not failures and time.monotonic() <= trial_deadline(deadline, timer.target):
                cache.put(key, times)
        candidates += [
            Candidate(layer=name, lowering=prefix + k, median_ms=v)
            for k, v in sorted(times.items(), key=lambda t: t[1])
        ]
    return candidates, discarded


def _work(case: LayerCase) -> float:
    return float(np.prod(case.input_shape[2:])) * case.conv.weight.size


def _measure(
    case: LayerCase,
    timer: ModelTimer,
    lowerings: Sequence[str],
    deadline: float,
    write: Callable[[LayerCase, str, int], bytes],
) -> tuple[dict[str, float], list[Discarded]]:
    """Return the median milliseconds by lowering, of a hopeless one that of a few runs, and what failed.

    Lowerings that write this layer alike are measured once, on CUDA none after the deadline but the first.
    """
    models: dict[str, bytes] = {}
    times: dict[bytes, float] = {}
    discarded = []

    def discard(name: str, error: Exception) -> None:
        discarded.append(Discarded(layer=case.conv.name, lowering=name, reason=str(error)))

    written = {}
    for name in lowerings:
        try:
            written[name] = write(case, name, timer.multiple)
        except FAILURES as error:
            discard(name, error)
    for name in trial_order(written, timer.target):
        content = written[name]
        if content not in times and times and time.monotonic() > trial_deadline(deadline, timer.target):
            continue
        try:
            if content not in times:
                times[content] = 1e3 * timer.quick_seconds(content, case.input_shape)
            models[name] = content
        except FAILURES as error:
            discard(name, error)
    near = [content for content, ms in times.items() if ms <= HOPELESS * min(times.values())]
    if near:
        for content, instances in zip(near, timer.measure(near, case.input_shape, SCHEDULE), strict=True):
            times[content] = 1e3 * float(np.median(np.concatenate([t for rounds in instances for t in rounds])))
    return {name: times[content] for name, content in models.items()}, discarded
