"""The last comparison: what was found against what a user would run instead, measured in one run.

Forms are also run on one thread where more were asked for: small nodes do not split, and threads that wait for each
other cost time. If one thread is faster, that is said, and the form that is fastest so is written.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.benchmark.statistics import latency, speedup
from swp_export.tuning.layer_case import counted_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.benchmark.measure import Instances
    from swp_export.tuning.layer_case import LayerCase
    from swp_export.tuning.model_timer import ModelTimer

    Plan = Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rival:
    """A form of the whole model: its plan, what channels are filled up to a multiple of, and the threads it runs on."""

    plan: Plan
    multiple: int
    threads: int


def rivals_of(
    found: Plan, own: Plan, own_multiple: int, cases: Sequence[LayerCase], timer: ModelTimer
) -> dict[str, Rival]:
    """Return what may be written, by name.

    Args:
        found: the plan that the search ended with.
        own: that of the input.
        own_multiple: of the input.
        cases: the layers.
        timer: where and how the model runs.

    """
    threads, dense = timer.target.threads, dict.fromkeys(own, "dense")
    rivals = {
        "found": Rival(plan=found, multiple=timer.multiple, threads=threads),
        "own": Rival(plan=own, multiple=own_multiple, threads=threads),
        "dense": Rival(plan=dense, multiple=timer.multiple, threads=threads),
    }
    if threads == 1:
        return rivals
    counted = Rival(plan=counted_plan(cases, 1), multiple=timer.multiple, threads=1)
    alone = {name: dataclasses.replace(rivals[name], threads=1) for name in ("found", "own")} | {"auto": counted}
    return rivals | {f"{name}, one thread": rival for name, rival in alone.items()}


def ranked(times: Mapping[str, Instances]) -> list[str]:
    """Return the names of the rivals, best first: what was found unless another is shown to be faster, then by time."""
    best = "found"
    for rival in times:
        if rival != best and speedup(times[rival], times[best]).high < 1:
            best = rival
    others = [name for name in times if name != best]
    return [best, *sorted(others, key=lambda name: latency(times[name]).median_ms)]
