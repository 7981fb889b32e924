"""Measures models, whole ones and single layers, against one another on the device that is tuned for."""

from __future__ import annotations

import dataclasses
import time
from functools import cached_property
from typing import TYPE_CHECKING

from swp_export.benchmark.inputs import noise
from swp_export.benchmark.measure import Schedule, measure
from swp_export.runtime.cpu import read_cpu
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.benchmark.measure import Instances
    from swp_export.runtime.target import Target

QUICK_RUNS = 3
QUICK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelTimer:
    """Loads models and times them; says where and how.

    Attributes:
        target: where and how they run; never anywhere else.

    """

    target: Target

    def with_threads(self, threads: int) -> ModelTimer:
        """Return the timer of the same device with so many threads."""
        return dataclasses.replace(self, target=dataclasses.replace(self.target, threads=threads))

    @cached_property
    def multiple(self) -> int:
        """Channels of one block of the runtime's layout, of which channels and rows are filled up to a multiple."""
        features = read_cpu().features or {}
        return 16 if self.target.kind != "cuda" and features.get("AVX-512F") else 8

    def opener(self, model: bytes, shape: Sequence[int]) -> Callable[[], Callable[[], object]]:
        """Return what loads `model` and gives the call that runs it on noise of `shape` `(N, C, H, W)`."""

        def open_call() -> Callable[[], object]:
            session = open_session(model, self.target)
            return session.caller(noise(session, tuple(shape), seed=0))

        return open_call

    def quick_seconds(self, model: bytes, shape: Sequence[int]) -> float:
        """Load `model`, run it a few times and return the seconds of the fastest run: enough to see what is far behind.

        Raises:
            SwpExportError: it does not load or run here.

        """
        call = self.opener(model, shape)()
        seconds: list[float] = []
        while len(seconds) < QUICK_RUNS and sum(seconds) < QUICK_SECONDS:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def measure(
        self, models: Sequence[bytes], shape: Sequence[int], schedule: Schedule, threads: Sequence[int] = ()
    ) -> list[Instances]:
        """Return the times of `models`, which take turns on inputs of `shape`; `threads`: of each, if not all alike.

        Raises:
            SwpExportError: one of them does not load or run here.

        """
        timers = [self.with_threads(count) for count in threads or [self.target.threads] * len(models)]
        openers = [timer.opener(model, shape) for timer, model in zip(timers, models, strict=True)]
        return measure(openers, schedule)
