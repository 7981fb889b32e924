"""Thresholds evaluated one after the other, or several at once in processes of their own."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from typing import TYPE_CHECKING

from swp_export.sweeping.evaluate import Evaluator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swp_export.sweeping.evaluate import DataNames
    from swp_export.sweeping.network import SweptNetwork
    from swp_export.sweeping.point import SweepPoint
    from swp_export.verification.accuracy import Predicted

_evaluator: Evaluator | None = None
"""Of a worker."""


def evaluate_all(
    network: SweptNetwork, names: DataNames, own: Evaluator, thresholds: Sequence[float], jobs: int
) -> Iterator[tuple[SweepPoint, bytes]]:
    """Yield the point and the model of each of `thresholds`, in the order in which they are ready.

    Args:
        network: what is swept.
        names: what accuracy is measured on.
        own: evaluates in this process, and knows what the unpruned network gives.
        thresholds: to be evaluated.
        jobs: processes; 1 is this one.

    """
    jobs = min(jobs, len(thresholds))
    if jobs <= 1:
        yield from map(own.evaluate, thresholds)
        return
    context = multiprocessing.get_context("spawn")  # a fork would take over threads that are not there
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start, initargs=(network, names, own.before)
    )
    try:
        pending = [pool.submit(_evaluate, threshold) for threshold in thresholds]
        for future in concurrent.futures.as_completed(pending):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(network: SweptNetwork, names: DataNames, before: Predicted | None) -> None:
    global _evaluator  # noqa: PLW0603 # how a pool hands something to all tasks of a worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it and ends this one
    _evaluator = Evaluator(network, names, before)


def _evaluate(threshold: float) -> tuple[SweepPoint, bytes]:
    assert _evaluator is not None
    return _evaluator.evaluate(threshold)
