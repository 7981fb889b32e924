"""What a reference gave of one output on one case: the truth, its own float32 run, and how far rounding moves it."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """What the reference gave of one output on one case.

    Attributes:
        truth: float64 `[N, C, ...]` or `[N]`; integers where the output holds integers.
        single: the reference's own float32 run.
        other: another one, by other kernels of the same runtime: with its optimisations off; None where there is none.
        moved: how far random roundings move each element of it, infinite where they make it another integer or no
            number; float64 in the shape of `truth`, or `[]` and infinite where they change that shape.
        left_out: which elements rounding alone decides, and are not compared: all runs are zero there; None for none.

    """

    truth: np.ndarray
    single: np.ndarray
    moved: np.ndarray
    other: np.ndarray | None = None
    left_out: np.ndarray | None = None

    def without(self, elements: np.ndarray) -> Runs:
        """Return these runs with `elements`, booleans in the shape of `truth`, left out."""
        return Runs(
            truth=np.where(elements, 0, self.truth),
            single=np.where(elements, self.single.dtype.type(0), self.single),
            moved=np.where(elements, 0, self.moved),
            other=None if self.other is None else np.where(elements, self.other.dtype.type(0), self.other),
            left_out=elements,
        )

    @property
    def is_exact(self) -> bool:
        """Whether the output holds no floats: then it is compared exactly."""
        return self.truth.dtype.kind != "f"

    @property
    def has_one_shape(self) -> bool:
        """Whether all runs gave the same shape."""
        return self.truth.shape == self.single.shape == self.moved.shape

    @property
    def is_finite(self) -> bool:
        """Whether the reference gives numbers, in both precisions."""
        return bool(np.isfinite(self.truth).all() and np.isfinite(self.single).all())

    @property
    def scale(self) -> float:
        """The largest size of the truth."""
        return float(np.max(np.abs(self.truth), initial=0))

    @property
    def own(self) -> np.ndarray:
        """How far the float32 runs are off, element by element; 0 where all are infinite.

        One runtime sums in another order by each of its kernels, and a pruned model is run by others than its source.
        """
        if self.other is None or self.other.shape != self.truth.shape:
            return self.own_single
        other = distances(self.other.astype(np.float64), self.truth.astype(np.float64))
        worst: np.ndarray = np.maximum(self.own_single, np.where(np.isfinite(other), other, 0))
        return worst

    @property
    def own_single(self) -> np.ndarray:
        """How far `single` is off, element by element; 0 where both are infinite."""
        return distances(self.single.astype(np.float64), self.truth.astype(np.float64))

    @property
    def is_stable(self) -> np.ndarray:
        """Which integers no rounding changes."""
        stable: np.ndarray = (self.moved == 0) & (self.truth == self.single)
        return stable


def distances(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how far `found` is from `truth`, element by element; of two shapes infinite, `[]`.

    It is 0 where both are the same infinity, infinite where one of them is no number, and where integers differ.
    """
    if found.shape != truth.shape:
        return np.array(np.inf)
    same = found == truth
    if truth.dtype.kind != "f":
        return np.where(same, 0.0, np.inf)
    with np.errstate(invalid="ignore"):
        off = np.abs(found.astype(np.float64) - truth)
    return np.asarray(np.where(same, 0.0, np.where(np.isnan(off), np.inf, off)))
