"""What a model may make this process allocate: it is refused before the machine suffers.

The limit is the system's own on the address space, for as long as one block runs, so it holds for numpy and for what
C++ allocates alike, whatever operator asks for it. Systems without such limits have none.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASE = 192 << 20
_PER_BYTE_OF_MODEL = 200
"""Of its weights in float32: a decoder makes much of a small input."""
_PER_BYTE_OF_INPUT = 2000
"""What 64 channels at four times an image's width and height take: 340 for each value that is alive."""
_PER_THREAD = 80 << 20
"""Address space only: the stack of a thread, and what its allocator sets aside."""

_limited = threading.Lock()


def allowance(*, model: int, inputs: int = 0, threads: int = 1) -> int:
    """Return how many bytes a model of `model` bytes may allocate for `inputs` bytes of input."""
    return _BASE + _PER_BYTE_OF_MODEL * model + _PER_BYTE_OF_INPUT * inputs + _PER_THREAD * (threads - 1)


def available_memory() -> int | None:
    """Return how many bytes are free, or can be freed, on this machine; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


@contextlib.contextmanager
def memory_within(allowed: int) -> Iterator[None]:
    """Let this process allocate `allowed` bytes more than it has while the block runs.

    What asks for more gets a MemoryError, or whatever C++ makes of it. The limit is the whole process's: a block inside
    another one, or beside it in another thread, adds none of its own.
    """
    if not _limited.acquire(blocking=False):
        yield
        return
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ImportError, OSError, ValueError):
                import resource

                soft, hard = resource.getrlimit(resource.RLIMIT_AS)
                limit_memory(allowed, most=None if soft == resource.RLIM_INFINITY else soft)
                stack.callback(resource.setrlimit, resource.RLIMIT_AS, (soft, hard))
            yield
    finally:
        _limited.release()


def limit_memory(allowed: int, *, most: int | None = None) -> None:
    """Let this process allocate `allowed` bytes more than it has, until this is called again, `most` bytes in all.

    Raises:
        ImportError, OSError, ValueError: The system has no such limits.

    """
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    bounds = [pages * resource.getpagesize() + allowed]
    bounds += [] if most is None else [most]
    bounds += [] if hard == resource.RLIM_INFINITY else [hard]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), hard))
