"""Points of a sweep that no network was run for."""

from __future__ import annotations

import dataclasses

from swp_export.benchmark.statistics import Latency, Speedup
from swp_export.sweeping.point import FormLatency, SweepPoint
from swp_export.verification.accuracy import Accuracy

PLAIN = SweepPoint(
    threshold=None,
    live_stripes=90,
    stripes=90,
    dead_layers=0,
    params=1000,
    paper_params=900,
    flops=100_000,
    paper_flops=90_000,
    bytes=4000,
    sha256="0" * 64,
    error=0.0,
)


def accuracy(right: int) -> Accuracy:
    """Return an accuracy of `right` of 100, before 95."""
    return Accuracy(
        data="100 samples", samples=100, predictions=100, right_before=95, right_after=right, changed=95 - right
    )


def point(
    threshold: float | None, flops: int, *, right: int | None = None, error: float = 0.0, ms: float | None = None
) -> SweepPoint:
    """Return a point of this cost and worth."""
    latency = {}
    if ms is not None:
        times = Latency(median_ms=ms, p90_ms=ms, p99_ms=ms, iqr_ms=0, runs=10)
        latency["default"] = FormLatency(latency=times, speedup=Speedup(speedup=2, low=1.9, high=2.1, rounds=20))
    return dataclasses.replace(
        PLAIN,
        threshold=threshold,
        flops=flops,
        error=error,
        accuracy=None if right is None else accuracy(right),
        latency=latency,
    )
