"""A float32 network as the reference of a model in float16: the same truth, and the rounding of float16.

By the same principle as `budget`: what rounding explains, in units of float16. Rounding moves outputs in proportion to
its unit as long as it is small, so a run that is moved by units of float32 says by how much units of float16 move it.

Inputs that are far larger or smaller than images are prove nothing: float16 ends at 65504, and below 6e-5 it loses
digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.verification.rounding import UNIT, UNIT_OF_FLOAT16

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Feed, TensorSpec
    from swp_export.verification.references import Outputs, Reference

LARGEST, SMALLEST = 16.0, 0.01
"""Of an input's largest number: normalised pixels are up to 3 or 4."""


class Float16Reference:
    """`reference`, with the rounding of float16 in the place of that of float32."""

    computes_in_float16 = True

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.description = reference.description
        self.inputs: tuple[TensorSpec, ...] = reference.inputs

    def only_batch(self, input_shape: InputShape) -> int | None:
        """Return what the reference says."""
        return self._reference.only_batch(input_shape)

    def float64(self, x: Feed) -> Outputs:
        """Run in float64."""
        return self._reference.float64(x)

    def float32(self, x: Feed) -> Outputs:
        """Run in float32; infinite where the input proves nothing of float16."""
        outputs = self._reference.float32(x)
        return outputs if _fits(x) else {name: np.full_like(y, np.inf) for name, y in outputs.items()}

    def rounded(self, seed: int) -> Callable[[Feed], Outputs]:
        """Move the outputs by as many units of float16 as float32 moves them by its own."""
        run = self._reference.rounded(seed)

        def moved(x: Feed) -> Outputs:
            truth, off = self._reference.float64(x), run(x)
            times = UNIT_OF_FLOAT16 / UNIT
            return {
                name: t + times * (off[name] - t) if t.dtype.kind == "f" and t.shape == off[name].shape else off[name]
                for name, t in truth.items()
            }

        return moved

    def unoptimised(self) -> None:
        """Return nothing: kernels differ by far less than float16 rounds."""

    def parts_at(self, x: Feed) -> str | None:
        """Say what the reference says."""
        return self._reference.parts_at(x)

    def wavers_at(self, x: Feed) -> str | None:
        """Say what the reference says."""
        return self._reference.wavers_at(x)


def _fits(x: Feed) -> bool:
    arrays = x.values() if isinstance(x, Mapping) else [x]
    sizes = [float(np.abs(array).max(initial=0)) for array in arrays if array.dtype.kind == "f"]
    return all(size == 0 or SMALLEST <= size <= LARGEST for size in sizes)
