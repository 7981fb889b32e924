"""Whether the machine was quiet, on times whose truth is known."""

import numpy as np
import pytest

from swp_export.benchmark import noise
from swp_export.benchmark.noise import remark_on_cores, remark_on_noise
from swp_export.runtime.target import Target

RNG = np.random.default_rng(0)


def rounds(factors, *, interrupted=0.0):
    """Return 10 instances' rounds of 20 runs of a millisecond with 2 % noise, some runs interrupted."""

    def of_round(factor):
        times = 1e-3 * factor * RNG.lognormal(sigma=0.02, size=20)
        return np.where(RNG.random(20) < interrupted, 5 * times, times)

    return [[of_round(factor) for factor in part] for part in np.array_split(np.asarray(factors), 10)]


def test_a_quiet_machine_is_not_remarked_on():
    """A few percent, and a run in a hundred that was interrupted, are usual."""
    assert remark_on_noise("m", rounds(np.ones(40), interrupted=0.01), streams=1) is None


def test_interrupted_runs_are_remarked_on():
    """By their share, with what to do, in one line."""
    remark = remark_on_noise("m.onnx", rounds(np.ones(40), interrupted=0.2), streams=1)
    assert "of m.onnx" in remark
    assert "% of the runs took more than 2 times the median" in remark
    assert "measure again" in remark
    assert "\n" not in remark


@pytest.mark.parametrize("streams", [1, 4])
def test_drifting_rounds_are_remarked_on(streams):
    """A machine that becomes slower says nothing by single runs."""
    assert "rounds took" in remark_on_noise("m", rounds(np.linspace(1, 1.5, 40)), streams=streams)


def test_streams_interrupt_one_another():
    """That is no noise, as long as the rounds are alike."""
    sliced = [[np.tile([1e-3, 1e-3, 1e-3, 5e-3], 10)] * 4] * 10
    assert remark_on_noise("m", sliced, streams=4) is None
    assert remark_on_noise("m", sliced, streams=1) is not None


def test_more_threads_than_cores_are_remarked_on(monkeypatch):
    """Threads and streams both count."""
    monkeypatch.setattr(noise, "usable_cores", lambda: 2)
    assert remark_on_cores([Target(), Target(threads=2)], streams=1) is None
    assert "4 threads were asked for and this process may use 2" in remark_on_cores([Target(threads=4)], streams=1)
    assert "3 streams were asked for" in remark_on_cores([Target()], streams=3)
