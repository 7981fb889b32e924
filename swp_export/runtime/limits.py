"""What a model may take before it is stopped: nothing that is told of a model bounds what its operators ask for."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING

from swp_export.errors import InputError
from swp_export.memory import allowance, memory_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnxruntime

LONGEST_LOOP = 3.0
"""Seconds of one run of a model with loops; those of networks take milliseconds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one model.

    Attributes:
        bytes: Size of the model; None where it has none to go by: a file, whose data may lie beside it, or on CUDA.
        threads: Of the session.
        loops: Whether it may hold graphs that are run again and again.

    """

    bytes: int | None
    threads: int
    loops: bool

    def memory(self, inputs: int = 0) -> contextlib.AbstractContextManager[None]:
        """Bound the memory of a block that is given `inputs` bytes."""
        if self.bytes is None:
            return contextlib.nullcontext()
        return memory_within(allowance(model=self.bytes, inputs=inputs, threads=self.threads))

    @contextlib.contextmanager
    def time(self, options: onnxruntime.RunOptions) -> Iterator[None]:
        """Stop the run that has these `options` once it takes too long, where only loops can make it."""
        if not self.loops:
            yield
            return
        stop = threading.Timer(LONGEST_LOOP, lambda: setattr(options, "terminate", True))
        stop.start()
        try:
            yield
        except InputError as error:
            if not options.terminate:
                raise
            raise InputError(
                f"the model was stopped after {LONGEST_LOOP:g} s: it has a loop that does not end; export it without"
            ) from error
        finally:
            stop.cancel()
