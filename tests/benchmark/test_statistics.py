"""What measured times say, on times whose truth is known."""

import numpy as np
import pytest

from swp_export.benchmark.statistics import Speedup, latency, speedup


def times(rng, *, seconds=1e-3, rounds=40, drift=None, luck=0.0):
    """Return 10 instances' times around `seconds` with 5 % noise and some interrupted runs.

    `drift` is a factor for each round, `luck` the standard deviation of a factor that all rounds of an instance share.
    """
    drift = np.ones(rounds) if drift is None else drift

    def of_round(factor):
        return factor * rng.lognormal(sigma=0.05, size=5) * np.where(rng.random(5) < 0.05, 4, 1)

    return [
        [of_round(factor) for factor in seconds * rng.lognormal(sigma=luck) * part]
        for part in np.array_split(drift, 10)
    ]


def test_latency_is_in_milliseconds_over_all_runs():
    """Percentiles are those of all rounds' runs together."""
    found = latency([[np.arange(0, 51) * 1e-3], [np.arange(51, 101) * 1e-3]])
    assert (found.median_ms, found.p90_ms, found.p99_ms, found.iqr_ms) == pytest.approx((50, 90, 99, 50))
    assert found.runs == 101


@pytest.mark.parametrize(("seconds", "verdict"), [(0.5e-3, "faster"), (2e-3, "slower")])
def test_a_known_ratio_is_found(seconds, verdict):
    """A factor of two is found, its interval holds it, and the verdict has the right direction."""
    rng = np.random.default_rng(0)
    found = speedup(times(rng), times(rng, seconds=seconds))
    assert found.low <= 1e-3 / seconds <= found.high
    assert found.speedup == pytest.approx(1e-3 / seconds, rel=0.05)
    assert found.verdict == verdict


def test_identical_distributions_are_not_distinguishable():
    """Two models of the same speed are told apart in less than a tenth of all trials."""
    verdicts = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        verdicts.append(speedup(times(rng), times(rng), seed=seed).verdict)
    assert verdicts.count("not distinguishable") >= 90


def test_luck_of_a_loaded_instance_is_no_difference():
    """Identical models, each instance lucky or not for all of its many rounds: still not told apart."""
    verdicts = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        pair = [times(rng, rounds=200, luck=0.02) for _ in range(2)]
        verdicts.append(speedup(*pair, seed=seed).verdict)
    assert verdicts.count("not distinguishable") >= 45


def test_drift_that_hits_both_alike_is_no_difference():
    """A machine that becomes three times slower on the way fakes no difference, in either direction."""
    verdicts = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        drift = np.geomspace(1, 3, 40) * rng.lognormal(sigma=0.3, size=40)
        verdicts.append(speedup(times(rng, drift=drift), times(rng, drift=drift), seed=seed).verdict)
    assert verdicts.count("not distinguishable") >= 45


def test_drift_does_not_hide_a_difference():
    """A tenth is found although the machine drifts by a factor of three."""
    rng = np.random.default_rng(0)
    drift = np.geomspace(1, 3, 40)
    found = speedup(times(rng, drift=drift), times(rng, drift=drift, seconds=0.9e-3))
    assert found.verdict == "faster"


def test_the_same_seed_gives_the_same_interval():
    """The bootstrap is reproducible."""
    rng = np.random.default_rng(0)
    one, other = times(rng), times(rng)
    assert speedup(one, other, seed=3) == speedup(one, other, seed=3)


def test_a_bound_at_one_is_not_a_difference():
    """The interval has to exclude 1, not to touch it."""
    assert Speedup(speedup=1.1, low=1.0, high=1.2, rounds=10).verdict == "not distinguishable"


def test_unpaired_rounds_are_refused():
    """A ratio needs both models in each round."""
    one = np.ones(1)
    for baseline, model in (([[one]], [[one, one]]), ([[one]], [[one], [one]]), ([], []), ([[]], [[]])):
        with pytest.raises(ValueError, match="the same rounds"):
            speedup(baseline, model)
