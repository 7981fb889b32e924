"""Whether the machine was quiet enough for figures that stand alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.runtime.cpu import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.benchmark.statistics import Instances
    from swp_export.runtime.target import Target

INTERRUPTED = 2.0
"""A run that takes so many times the median of all was interrupted."""
MANY_INTERRUPTED = 0.05
"""Share of the runs; of a quiet machine it is below one percent."""
FAR_APART = 0.1
"""Relative distance between the quarter of the fastest rounds and the quarter of the slowest."""


def remark_on_noise(model: str, instances: Instances, *, streams: int) -> str | None:
    """Return what has to be said of the machine while `model` was measured, or None where it was quiet.

    Streams that outnumber the cores interrupt one another, so of several only the rounds are looked at.
    """
    rounds = [np.mean(times) if streams > 1 else np.median(times) for of_one in instances for times in of_one]
    runs = np.concatenate([times for of_one in instances for times in of_one])
    interrupted = 0.0 if streams > 1 else float(np.mean(runs > INTERRUPTED * np.median(runs)))
    fast, median, slow = np.percentile(rounds, [25, 50, 75])
    apart = float((slow - fast) / median) if median else 0.0
    found = []
    if interrupted > MANY_INTERRUPTED:
        found.append(f"{interrupted:.0%} of the runs took more than {INTERRUPTED:g} times the median")
    if apart > FAR_APART:
        found.append(f"the slower rounds took {apart:.0%} longer than the faster ones")
    if not found:
        return None
    return (
        f"the machine was busy: of {model} {' and '.join(found)}; ratios are of the same rounds and stand, latencies "
        "may be too high: close other programs and measure again"
    )


def remark_on_cores(targets: Sequence[Target], *, streams: int) -> str | None:
    """Return what has to be said where more threads were asked for than there are cores."""
    cores, threads = usable_cores(), max(target.threads for target in targets)
    if threads * streams <= cores:
        return None
    wanted = f"{streams} streams" if streams > 1 else f"{threads} threads"
    return f"{wanted} were asked for and this process may use {cores} cores: they took turns"
