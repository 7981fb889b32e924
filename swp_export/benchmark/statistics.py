"""What measured times say: the distribution of one model's, and the ratio of two models'.

A machine drifts (frequency, neighbours, temperature), so two models are never compared by their overall medians. They
are measured in the same rounds; each round gives one ratio, in which what the round did to both cancels. And a loaded
model has luck, good or bad, with its place in memory, which all its rounds share. So the bootstrap has two levels: it
resamples the loaded instances, and within each of them the rounds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Instances = Sequence[Sequence[npt.NDArray[np.float64]]]
    """Seconds of each run of one model: for each loaded instance, an array for each round."""

Verdict = Literal["faster", "slower", "not distinguishable"]
CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """The distribution of one model's run times, in milliseconds; `runs` is how many there are."""

    median_ms: float
    p90_ms: float
    p99_ms: float
    iqr_ms: float
    runs: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speedup:
    """How many times faster a model is than the baseline, with the bounds of its 95 % confidence interval."""

    speedup: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> Verdict:
        """What the interval allows to be said: it excludes 1, or nothing is distinguishable."""
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "not distinguishable"


def latency(instances: Instances) -> Latency:
    """Summarise all runs of all rounds. Percentiles interpolate linearly between the runs beside them."""
    samples = 1e3 * np.concatenate([times for rounds in instances for times in rounds])
    low, median, high, p90, p99 = np.percentile(samples, [25, 50, 75, 90, 99])
    return Latency(
        median_ms=float(median),
        p90_ms=float(p90),
        p99_ms=float(p99),
        iqr_ms=float(high - low),
        runs=samples.size,
    )


def throughput(instances: Instances, images: int) -> float:
    """Return how many images a second are finished, where each run of a model, or of all streams, finishes `images`.

    It is that of the median round, of all of its runs: streams that share a core run in slices, and their median run
    is one that was not sliced.
    """
    return images / float(np.median([np.mean(times) for rounds in instances for times in rounds]))


def speedup(baseline: Instances, model: Instances, *, seed: int = 0, streams: int = 1) -> Speedup:
    """Return how many times faster `model` is than `baseline`; both were measured in the same rounds.

    The estimate is the median over the rounds of the ratio of the two models' medians within the round; the interval
    is the percentile bootstrap of that over instances and rounds. Medians, because a run that was interrupted is no
    property of the model. Of several `streams` it is the ratio of what they finish in the round, hence of means.

    Raises:
        ValueError: The two have different instances or rounds, or none.

    """
    counts = [len(rounds) for rounds in baseline]
    if counts != [len(rounds) for rounds in model] or not counts or min(counts) < 1:
        raise ValueError("expected the same rounds for both models, and at least one for each instance")
    of_round = np.median if streams == 1 else np.mean
    ratios = [
        np.array([of_round(base) / of_round(other) for base, other in zip(*rounds, strict=True)])
        for rounds in zip(baseline, model, strict=True)
    ]
    low, high = np.quantile(_bootstrap(ratios, seed), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Speedup(
        speedup=float(np.median(np.concatenate(ratios))), low=float(low), high=float(high), rounds=sum(counts)
    )


def _bootstrap(ratios: list[npt.NDArray[np.float64]], seed: int) -> npt.NDArray[np.float64]:
    """Return the medians of `RESAMPLES` resamples of `ratios`, an array for each instance."""
    rng = np.random.default_rng(seed)
    counts = np.array([of_one.size for of_one in ratios])
    starts = np.cumsum(counts) - counts
    flat = np.concatenate(ratios)
    # As many rounds of each instance drawn as an instance has on average, so that resamples have one size.
    draws = round(flat.size / counts.size)
    instances = rng.integers(counts.size, size=(RESAMPLES, counts.size, 1))
    within = np.floor(rng.random((RESAMPLES, counts.size, draws)) * counts[instances]).astype(np.intp)
    chosen: npt.NDArray[np.float64] = flat[starts[instances] + within].reshape(RESAMPLES, -1)
    return np.median(chosen, axis=1)
