"""Several sessions at once."""

import itertools
import threading

import pytest

from swp_export.benchmark.measure import Schedule, measure
from swp_export.benchmark.streams import Streams

WAIT = 10.0
"""Seconds after which what should have met is given up."""


def ticking():
    """Return a clock on which each look takes a millisecond."""
    ticks = itertools.count()
    return lambda: 1_000_000 * next(ticks)


class Meeting:
    """Calls of which each returns from its first run only once all are in theirs."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count)
        self.runs = [0] * count
        self.calls = [lambda index=index: self.call(index) for index in range(count)]

    def call(self, index):
        """Wait for the others in the first run."""
        if not self.runs[index]:
            self.barrier.wait(WAIT)
        self.runs[index] += 1


def test_all_run_at_the_same_time():
    """Each call meets every other one; each is measured as often."""
    meeting = Meeting(3)
    seconds = Streams(meeting.calls).run(2, 4, ticking())
    assert seconds.shape == (12,)
    assert (seconds > 0).all()
    assert min(meeting.runs) >= 6


def test_a_stream_that_is_done_goes_on_until_all_are():
    """The slow one is never alone: in its last run the quick one runs more often than it is measured."""
    slow_runs, quick_runs = [], []
    beyond = threading.Event()

    def slow():
        slow_runs.append(1)
        if len(slow_runs) == 5:
            assert beyond.wait(WAIT)

    def quick():
        quick_runs.append(1)
        if len(quick_runs) > 5:
            beyond.set()

    assert Streams([slow, quick]).run(0, 5, ticking()).size == 10
    assert len(slow_runs) >= 5


def test_an_error_in_one_stream_ends_all():
    """It is raised, and nobody waits for ever."""

    def fail():
        raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        Streams([lambda: None, fail]).run(0, 3, ticking())


def test_streams_take_turns_with_other_models():
    """Their rounds are those of the others, with as many runs from each stream."""
    meeting = Meeting(2)
    both, one = measure(
        [lambda: Streams(meeting.calls), lambda: lambda: None],
        Schedule(min_runs=2, min_seconds=0, instances=2, window_seconds=0),
        clock=ticking(),
    )
    assert [len(rounds) for rounds in both] == [len(rounds) for rounds in one]
    assert {times.size % 2 for rounds in both for times in rounds} == {0}
