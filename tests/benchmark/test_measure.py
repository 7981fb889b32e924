"""Taking turns, on a clock that only the measured calls move."""

import gc

import numpy as np
import pytest

from swp_export.benchmark.measure import INSTANCES, MAX_COLD_ROUNDS, Burst, Schedule, measure, plan_burst, warm_up


class Machine:
    """A clock, and calls that take a known time on it."""

    def __init__(self) -> None:
        self.now = 0
        self.log: list[str] = []

    def clock(self) -> int:
        """Return the time in nanoseconds."""
        return self.now

    def opener(self, name, *milliseconds):
        """Return what loads an instance; all instances share the one sequence of times."""
        run = self.call(name, *milliseconds)
        return lambda: run

    def call(self, name, *milliseconds):
        """Return a call that takes each of `milliseconds` in turn, and the last one from then on."""
        left = list(milliseconds)

        def run():
            self.log.append(name)
            self.now += round(1e6 * (left.pop(0) if len(left) > 1 else left[0]))

        return run


def test_every_model_has_its_runs_and_seconds():
    """Each of a fast and a slow model is measured for the minimum time, at its true speed, in the same rounds."""
    machine = Machine()
    fast, slow = measure(
        [machine.opener("fast", 1), machine.opener("slow", 30)], Schedule(min_seconds=1.0), clock=machine.clock
    )
    assert [len(rounds) for rounds in fast] == [len(rounds) for rounds in slow]
    for instances, seconds in ((fast, 1e-3), (slow, 30e-3)):
        runs = np.concatenate([times for rounds in instances for times in rounds])
        assert runs.sum() >= 1.0
        assert runs.size >= 10
        assert runs == pytest.approx(seconds)


def test_every_model_is_loaded_anew_for_each_instance():
    """Each instance is a newly loaded one, has at least one round, and replaces the one before."""
    machine = Machine()
    opened: list[str] = []

    def open_call():
        opened.append(f"instance {len(opened)}")
        return machine.call(opened[-1], 400)

    (instances,) = measure([open_call], Schedule(min_runs=1, min_seconds=0), clock=machine.clock)
    assert len(opened) == len(instances) == INSTANCES
    assert all(len(rounds) == 1 for rounds in instances)
    assert list(dict.fromkeys(machine.log)) == opened


def test_the_order_changes_and_is_seeded():
    """Models do not always run in the same order, and the same seed gives the same order."""
    logs = []
    for _ in range(2):
        machine = Machine()
        measure([machine.opener(name, 50) for name in "abc"], Schedule(cold=True, min_seconds=10), clock=machine.clock)
        logs.append("".join(machine.log))
    turns = logs[0][-30:]
    assert {"".join(sorted(turns[at : at + 3])) for at in range(0, 30, 3)} == {"abc"}
    assert len({turns[at : at + 3] for at in range(0, 30, 3)}) > 1
    assert logs[0] == logs[1]


def test_a_burst_begins_with_unmeasured_runs():
    """What the model before left in the caches is not charged to this one: only the later runs count."""
    machine = Machine()
    steady = [3] * (1 + 7 + 7)
    burst = [9, 9, 3, 3, 3]
    opener = machine.opener("a", *steady, *burst, *[9, 9, *burst] * (INSTANCES - 1))
    (instances,) = measure([opener], Schedule(min_runs=10, min_seconds=0), clock=machine.clock)
    assert len(instances) == INSTANCES
    assert all(times == pytest.approx([3e-3] * 3) for rounds in instances for times in rounds)


def test_bursts_of_slow_models_are_short():
    """A run of a second is not repeated more than needed: one unmeasured, one measured."""
    assert plan_burst(1.0, Schedule()) == Burst(unmeasured=1, measured=1)
    assert plan_burst(1e-3, Schedule(min_seconds=1)) == Burst(unmeasured=2, measured=25)


def test_cold_rounds_are_single_runs():
    """Cold measures the first run after the other models, and nothing else."""
    assert plan_burst(1e-3, Schedule(cold=True)) == Burst(unmeasured=0, measured=1)


def test_cold_beside_a_slow_model_ends():
    """A fast model does not keep a slow one running until it has its seconds."""
    machine = Machine()
    instances, _ = measure(
        [machine.opener("fast", 0.01), machine.opener("slow", 50)],
        Schedule(cold=True, min_seconds=1),
        clock=machine.clock,
    )
    assert sum(map(len, instances)) == MAX_COLD_ROUNDS


def test_warm_up_ends_when_runs_stop_getting_faster():
    """The steady time is returned, not that of the first, slow runs."""
    machine = Machine()
    assert warm_up(machine.call("a", 5000, 90, 90, 90, 60, 60, 60, 40), 0.02, clock=machine.clock) == pytest.approx(
        0.04
    )


def test_warm_up_of_a_slow_model_is_short():
    """Steady from the first run: one ignored run and two windows."""
    machine = Machine()
    warm_up(machine.call("a", 500), 0.02, clock=machine.clock)
    assert len(machine.log) == 7


def test_progress_grows_to_one():
    """The share that is done never shrinks and ends at 1."""
    machine = Machine()
    shares: list[float] = []
    measure([machine.opener("a", 20)], Schedule(min_seconds=1), clock=machine.clock, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_garbage_collection_is_as_before():
    """It is off while measuring and restored afterwards, also when a call fails."""
    machine = Machine()
    states: list[bool] = []

    def fails_later():
        machine.now += 10**7
        states.append(gc.isenabled())
        if states[-1] is False:
            raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        measure([lambda: fails_later], Schedule(), clock=machine.clock)
    assert gc.isenabled()


def test_a_schedule_that_measures_nothing_is_refused():
    """At least one run."""
    with pytest.raises(ValueError, match="min_runs"):
        Schedule(min_runs=0)


@pytest.mark.parametrize("runs", [0, 7])
def test_as_many_runs_go_before_as_were_asked_for(runs):
    """They are no more and no less, however much faster the model still gets, beside those that plan the bursts."""
    machine = Machine()
    getting_faster = machine.opener("model", *range(1000, 100, -10))
    schedule = Schedule(min_runs=1, min_seconds=0, instances=1, window_seconds=0, warm_up_runs=runs, cold=True)
    measure([getting_faster], schedule, clock=machine.clock)
    planning, measured = 3, 1
    assert len(machine.log) == runs + planning + measured


def test_interrupted_runs_do_not_shorten_a_burst():
    """Two of three runs are interrupted while bursts are planned: a model and its copy still run as often."""
    machine = Machine()
    quiet, busy = machine.opener("quiet", 1), machine.opener("busy", 1, *[50, 1, 50] * 3, 1)
    one, other = measure([quiet, busy], Schedule(min_seconds=0.2), clock=machine.clock)
    assert one[0][0].size == other[0][0].size
