"""Several sessions at once, as a server runs them: what counts is how many images all of them finish in a second.

Each stream is a thread with a session of its own. Runtimes let go of Python's lock while they compute, so the streams
compete for the processor and its memory as processes would, and share it with nothing but the calls themselves, some
microseconds each. Processes would hold the lock apart, and the program and its libraries once more for each stream.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt


class Streams:
    """Calls that run at the same time, each again and again."""

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self._calls = calls

    @property
    def width(self) -> int:
        """How many there are."""
        return len(self._calls)

    def __call__(self) -> None:
        """Run each call once, all at the same time."""
        self.run(1, 0, lambda: 0)

    def run(self, unmeasured: int, measured: int, clock: Callable[[], int]) -> npt.NDArray[np.float64]:
        """Run each call `unmeasured` times, then `measured` times, and return the seconds of all measured runs.

        A stream that is done goes on, unmeasured, until all are: none is measured beside fewer than all.

        Raises:
            BaseException: What a call raised.

        """
        together = threading.Barrier(self.width)
        left = [self.width]
        lock = threading.Lock()

        def stream(call: Callable[[], object]) -> npt.NDArray[np.float64]:
            seconds = np.empty(measured)
            try:
                together.wait()
                for _ in range(unmeasured):
                    call()
                for index in range(measured):
                    start = clock()
                    call()
                    seconds[index] = clock() - start
            finally:
                with lock:
                    left[0] -= 1
            while left[0] and measured:
                call()
            return 1e-9 * seconds

        with ThreadPoolExecutor(self.width) as pool:
            return np.concatenate(list(pool.map(stream, self._calls)))
