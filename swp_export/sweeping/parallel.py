"""Thresholds evaluated one after the other, or several at once in processes of their own.

Then the network is read in one too: torch, and what its exporter leaves behind, go with it and leave room for workers.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from typing import TYPE_CHECKING

from swp_export.progress import silent
from swp_export.sweeping.evaluate import Evaluator
from swp_export.sweeping.forms import DEFAULT
from swp_export.sweeping.network import read_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from swp_export.graph.metadata import InputShape
    from swp_export.progress import Progress
    from swp_export.pruning.recalibration import Recalibration
    from swp_export.sweeping.evaluate import Baseline, DataNames, Evaluated
    from swp_export.sweeping.network import SweptNetwork

_CONTEXT = multiprocessing.get_context("spawn")
"""A fork would take over locks of threads that it does not have."""
_evaluator: Evaluator | None = None
"""Of a worker."""


def read_apart(
    path: Path,
    *,
    arch: str | None,
    input_shape: InputShape | None,
    recalibration: Recalibration | None,
    jobs: int,
    progress: Progress,
) -> SweptNetwork:
    """Read what is to be swept as `read_network` does, with several `jobs` in a process of its own."""
    if jobs <= 1:
        return read_network(path, arch=arch, input_shape=input_shape, recalibration=recalibration, progress=progress)
    progress(f"reading {path}")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=_CONTEXT, initializer=_ignore_interrupts) as pool:
        return pool.submit(_read, path, arch, input_shape, recalibration).result()


def evaluate_all(
    network: SweptNetwork,
    names: DataNames,
    own: Evaluator,
    thresholds: Sequence[float],
    jobs: int,
    forms: Sequence[str] = (DEFAULT,),
    batch: int = 1,
) -> Iterator[Evaluated]:
    """Yield the point and the models of each of `thresholds`, in the order in which they are ready.

    Args:
        network: what is swept.
        names: what accuracy is measured on.
        own: evaluates in this process, and knows what the unpruned network gives.
        thresholds: to be evaluated.
        jobs: processes; 1 is this one.
        forms: in which models are written, the default one first.
        batch: images per run, on which some forms depend.

    """
    jobs = min(jobs, len(thresholds))
    if jobs <= 1:
        for threshold in thresholds:
            yield own.evaluate(threshold, forms, batch)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=_CONTEXT, initializer=_start, initargs=(network, names, own.baseline)
    )
    try:
        pending = [pool.submit(_evaluate, threshold, forms, batch) for threshold in thresholds]
        for future in concurrent.futures.as_completed(pending):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it, and ends this one


def _read(
    path: Path, arch: str | None, input_shape: InputShape | None, recalibration: Recalibration | None
) -> SweptNetwork:
    return read_network(path, arch=arch, input_shape=input_shape, recalibration=recalibration, progress=silent)


def _start(network: SweptNetwork, names: DataNames, baseline: Baseline) -> None:
    global _evaluator  # noqa: PLW0603 # how a pool hands something to all tasks of a worker
    _ignore_interrupts()
    _evaluator = Evaluator(network, names, baseline)


def _evaluate(threshold: float, forms: Sequence[str], batch: int) -> Evaluated:
    assert _evaluator is not None
    return _evaluator.evaluate(threshold, forms, batch)
