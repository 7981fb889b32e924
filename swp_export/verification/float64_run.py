"""A model's runs in float64: input by input, or side by side where its weights are large.

Weights of gigabytes take longer to be promoted, and moved, than a layer takes to run on one more input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np

    from swp_export.graph.float64.execution import OnValue
    from swp_export.graph.float64.model import Float64Model
    from swp_export.runtime.session import Feed

    Outputs = dict[str, np.ndarray]

LARGE = 1 << 29
"""Bytes of weights in float32. Of a smaller model moved weights, twice as many, are kept from one run to the next."""


def has_large_weights(model: Float64Model) -> bool:
    """Tell whether inputs are to be run side by side."""
    return model.stored_bytes > LARGE


class Float64Run:
    """Runs `model`; `seeing()` returns what changes the values of one run, None for nothing."""

    def __init__(self, model: Float64Model, seeing: Callable[[], OnValue] | None = None) -> None:
        self.model = model
        self._seeing = seeing

    def __call__(self, x: Feed) -> Outputs:
        """Return its outputs for one input. Raises InputError where it refuses it."""
        return self.side_by_side([x])[0]

    def side_by_side(self, xs: Sequence[Feed]) -> list[Outputs]:
        """Return its outputs for each of several inputs. Raises InputError where it refuses one."""
        return self.model.run_each(xs, None if self._seeing is None else [self._seeing() for _ in xs])


def run_each(run: Callable[[Feed], Outputs], xs: Iterable[Feed]) -> Iterator[Outputs]:
    """Yield what `run` gives on each of `xs`: as they come, or side by side once they are all there.

    Raises:
        InputError: it refuses one.

    """
    if isinstance(run, Float64Run) and has_large_weights(run.model):
        inputs = list(xs)
        yield from run.side_by_side(inputs) if inputs else []
    else:
        yield from map(run, xs)
