"""Each layer's lowerings, measured alone: a first guess, since a layer's neighbours decide the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from swp_export.benchmark.measure import Schedule
from swp_export.lowerings import LOWERINGS
from swp_export.tuning.candidates import Candidate, Discarded
from swp_export.tuning.layer_case import LayerCase, layer_model, with_filled_input
from swp_export.tuning.search import FAILURES

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
    cached_as: str = "",
    write: Callable[[LayerCase, str, int], bytes] = layer_model,
) -> tuple[list[Candidate], list[Discarded]]:
    """Measure the `lowerings` of each layer until `deadline` (of time.monotonic), those with the most work first.

    `write` gives a layer's content by the name of a lowering; `prefix` stands before that name in what is returned,
    `cached_as` before the keys of the cache.
    """
    candidates: list[Candidate] = []
    discarded: list[Discarded] = []
    for case in sorted((with_filled_input(case, timer.multiple) for case in cases), key=_work, reverse=True):
        name = case.conv.name
        reasons = {lowering: LOWERINGS[lowering].why_not(case.conv) for lowering in lowerings or LOWERINGS}
        discarded += [Discarded(layer=name, lowering=prefix + k, reason=v) for k, v in reasons.items() if v is not None]
        key = cached_as + prefix + cache.key(case, timer)
        times = cache.get(key)
        if times is None:
            if time.monotonic() > deadline:
                continue
            progress(f"measuring layer {name}")
            times, failures = _measure(case, timer, [k for k, v in reasons.items() if v is None], write)
            discarded += failures
            if not failures:  # a failure is reported in every run, and may have been the machine's
                cache.put(key, times)
        candidates += [
            Candidate(layer=name, lowering=prefix + k, median_ms=v)
            for k, v in sorted(times.items(), key=lambda t: t[1])
        ]
    return candidates, discarded


def _work(case: LayerCase) -> float:
    return float(np.prod(case.input_shape[2:])) * case.conv.weight.size


def _measure(
    case: LayerCase, timer: ModelTimer, lowerings: Sequence[str], write: Callable[[LayerCase, str, int], bytes]
) -> tuple[dict[str, float], list[Discarded]]:
    """Return the median milliseconds by lowering, of a hopeless one that of a few runs, and what failed.

    Lowerings that write this layer alike are measured once.
    """
    models: dict[str, bytes] = {}
    times: dict[bytes, float] = {}
    discarded = []
    for name in lowerings:
        try:
            content = write(case, name, timer.multiple)
            if content not in times:
                times[content] = 1e3 * timer.quick_seconds(content, case.input_shape)
            models[name] = content
        except FAILURES as error:
            discarded.append(Discarded(layer=case.conv.name, lowering=name, reason=str(error)))
    near = [content for content, ms in times.items() if ms <= HOPELESS * min(times.values())]
    if near:
        for content, instances in zip(near, timer.measure(near, case.input_shape, SCHEDULE), strict=True):
            times[content] = 1e3 * float(np.median(np.concatenate([t for rounds in instances for t in rounds])))
    return {name: times[content] for name, content in models.items()}, discarded
