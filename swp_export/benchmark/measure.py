"""Models take turns: in every round each runs a short burst, in an order shuffled anew.

Whatever the machine does in a round (it drifts, a neighbour wakes up) it does to all of them, and each burst begins
with unmeasured runs, so that no model pays for the cache the one before it filled.

Every few rounds all models are loaded anew. Where a loaded model's buffers lie in memory makes it a little faster or
slower, and stays so: measured on one instance each, a model and its own copy differ by up to a percent, and more
rounds only make that look more certain.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from typing import TYPE_CHECKING

import numpy as np

from swp_export.benchmark.streams import Streams
from swp_export.garbage import without_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Call = Callable[[], object]
    Clock = Callable[[], int]
    Instances = list[list[npt.NDArray[np.float64]]]

INSTANCES = 10
"""How often each model is loaded by default, each time for at least one round: fewer carry no confidence interval."""
MAX_COLD_ROUNDS = 1000
"""A cold round is one run of each model: beside a slow model a fast one would need hours to collect its seconds."""
_ROUNDS = 40
_SLOW_SECONDS = 0.2
_SETTLING_RUNS = 2
_STEADY = 0.95
_WINDOW_RUNS = 3
_WARM_UP_SECONDS = 3.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and in which way to measure.

    Attributes:
        min_runs: Measured runs of each model, at least.
        min_seconds: Sum of each model's measured times, at least.
        cold: Alternate single runs instead of bursts: each finds the caches as the other models left them.
        seed: Of the order within the rounds.
        instances: How often each model is loaded.
        window_seconds: Runs of about so long are compared with those before them, until a model is warm.
        warm_up_runs: Runs of each model before it is measured; None is until it stops getting faster.

    """

    min_runs: int = 10
    min_seconds: float = 1.0
    cold: bool = False
    seed: int = 0
    instances: int = INSTANCES
    window_seconds: float = 0.02
    warm_up_runs: int | None = None

    def __post_init__(self) -> None:
        if self.min_runs < 1 or self.min_seconds < 0 or (self.warm_up_runs or 0) < 0:
            raise ValueError(f"expected min_runs >= 1, min_seconds >= 0 and warm_up_runs >= 0, got {self}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Burst:
    """What one model runs in a round: `unmeasured` runs, then `measured` ones."""

    unmeasured: int
    measured: int


def measure(
    open_calls: Sequence[Callable[[], Call]],
    schedule: Schedule,
    *,
    clock: Clock = time.perf_counter_ns,
    progress: Callable[[float], None] | None = None,
) -> list[Instances]:
    """Let models take turns until each has its runs and seconds, on `schedule.instances` instances of each.

    Args:
        open_calls: For each model, what loads a new instance of it and returns the call to measure; that returns when
            its work is done. `Streams` are several at once, whose runs are all measured.
        schedule: How long, and in which way.
        clock: Nanoseconds.
        progress: Is told the share of the work that is done, after each round.

    Returns:
        For each model, for each instance, for each round, the seconds of its measured runs. All have the same
        instances and rounds.

    """
    order = random.Random(schedule.seed)  # noqa: S311 - an order, not a secret
    models = range(len(open_calls))
    calls = [open_call() for open_call in open_calls]
    bursts = [plan_burst(_warm(call, schedule, clock), schedule) for call in calls]
    measured: list[Instances] = [[] for _ in models]
    seconds = [0.0 for _ in models]
    done, count = 0.0, 0
    for instance in range(schedule.instances):
        # In an order of its own: the model that is loaded last may be the fastest by that alone, as in OpenVINO.
        for index in order.sample(models, len(models)) if instance else ():
            # The old instance is released only now that the new one has found another place in memory.
            calls[index] = open_calls[index]()
            _run(calls[index], Burst(unmeasured=_SETTLING_RUNS, measured=0), clock)
        for of_model in measured:
            of_model.append([])
        with without_collection():
            while not measured[0][instance] or done < (instance + 1) / schedule.instances:
                for index in order.sample(models, len(models)):
                    measured[index][instance].append(_run(calls[index], bursts[index], clock))
                    seconds[index] += float(measured[index][instance][-1].sum()) / _width(calls[index])
                count += 1
                done = _share_done(count, seconds, bursts, schedule)
                if progress is not None:
                    progress(done)
    return measured


def warm_up(call: Call, window_seconds: float, *, clock: Clock = time.perf_counter_ns) -> float:
    """Run `call` until it stops getting faster and return the seconds that a run then takes.

    The first run is not looked at: it may search for algorithms or allocate for seconds.
    """
    call()
    start = clock()
    previous = math.inf
    while True:
        current = _window(call, window_seconds, clock)
        if current >= _STEADY * previous or clock() - start > _WARM_UP_SECONDS * 1e9:
            return current
        previous = current


def plan_burst(seconds: float, schedule: Schedule) -> Burst:
    """Return the burst of a model whose run takes `seconds`.

    Bursts of all models take about the same time, so that all have their seconds after about as many rounds. Where a
    single run is long, its caches are cold for a small part of it only.
    """
    if schedule.cold:
        return Burst(unmeasured=0, measured=1)
    runs = schedule.min_seconds / _ROUNDS / max(seconds, 1e-9)
    if seconds > _SLOW_SECONDS:
        return Burst(unmeasured=1, measured=max(1, math.ceil(runs)))
    return Burst(unmeasured=2, measured=max(3, math.ceil(runs)))


def _warm(call: Call, schedule: Schedule, clock: Clock) -> float:
    """Warm `call` up as the schedule says and return the seconds that a run then takes."""
    if schedule.warm_up_runs is None:
        return warm_up(call, schedule.window_seconds, clock=clock)
    for _ in range(schedule.warm_up_runs):
        call()
    return _window(call, schedule.window_seconds, clock)


def _width(call: Call) -> int:
    return call.width if isinstance(call, Streams) else 1


def _run(call: Call, burst: Burst, clock: Clock) -> npt.NDArray[np.float64]:
    if isinstance(call, Streams):
        return call.run(burst.unmeasured, burst.measured, clock)
    for _ in range(burst.unmeasured):
        call()
    seconds = np.empty(burst.measured)
    for index in range(burst.measured):
        start = clock()
        call()
        seconds[index] = clock() - start
    return seconds * 1e-9


def _window(call: Call, window_seconds: float, clock: Clock) -> float:
    """Return the seconds of the fastest of a few runs; of many, where a few would be over before the clock rate rises.

    The fastest, because on a busy machine most of a few may be interrupted, and bursts that are planned by those would
    be too short to be compared with others.
    """
    seconds: list[float] = []
    while len(seconds) < _WINDOW_RUNS or sum(seconds) < window_seconds:
        start = clock()
        call()
        # A call below the clock's resolution must still end the loop.
        seconds.append(max(clock() - start, 1) * 1e-9)
    return min(seconds)


def _share_done(rounds: int, seconds: list[float], bursts: list[Burst], schedule: Schedule) -> float:
    """Return how much of the schedule is done: that of the model which is furthest behind."""
    runs = min(rounds * burst.measured for burst in bursts) / schedule.min_runs
    time_share = min(seconds) / schedule.min_seconds if schedule.min_seconds > 0 else 1.0
    done = min(1.0, rounds / schedule.instances, runs, time_share)
    if schedule.cold:
        done = max(done, min(1.0, rounds / max(MAX_COLD_ROUNDS, schedule.min_runs)))
    return done
