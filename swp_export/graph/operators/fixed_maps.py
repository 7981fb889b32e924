"""Channels whose map is the same for every image, though it may differ from place to place.

A constant behind zero padding is the example: inside the map it has one value, along the borders others. All such maps
of one tensor are sums of a few, by which they are told here: `values[c] @ maps`. What those few look like need not be
known, and depends on the size of the image; how many there are does not.
"""

from __future__ import annotations

import dataclasses

import numpy as np

LARGEST_SPACE = 128
"""Of how many maps those of a tensor may be sums; fixed channels of more are taken for ones that vary."""


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """A few maps that the fixed ones of a tensor are sums of; another object is another few.

    Attributes:
        ones: float64 `[maps]`: the map of ones as such a sum.
        kinds: the maps tell kinds of places apart: each is one at the places of its kind and zero elsewhere, and each
            place is of one kind. A function of each element then acts on the numbers of each kind by themselves.

    """

    ones: np.ndarray
    kinds: bool

    @property
    def size(self) -> int:
        """How many maps."""
        return int(self.ones.size)


CONSTANT = Space(np.ones(1), kinds=True)
"""Of the map of ones alone: constants."""


def space_of_kinds(count: int) -> Space:
    """Return a space of `count` kinds of places."""
    return Space(np.ones(count), kinds=True)


@dataclasses.dataclass(frozen=True, eq=False)
class FixedMaps:
    """The fixed channels of a tensor.

    Attributes:
        space: of what maps they are sums.
        values: float64 `[C, maps]`: how much of each; NaN in the rows of channels that vary.

    """

    space: Space
    values: np.ndarray

    @classmethod
    def of(cls, constants: np.ndarray) -> FixedMaps:
        """Return constants `[C]` as what they are: multiples of the map of ones."""
        return cls(CONSTANT, constants[:, None])

    def constants(self) -> np.ndarray:
        """Return the constant of each channel, NaN where it holds none."""
        known: np.ndarray = self.values[:, int(np.argmax(self.space.ones))]
        return np.where((self.values == known[:, None] * self.space.ones).all(axis=1), known, np.nan)

    def within(self, space: Space) -> np.ndarray:
        """Return `values` in another space, where constants alone are known."""
        return self.values if space is self.space else self.constants()[:, None] * space.ones

    def fixed(self) -> np.ndarray:
        """Return which channels are fixed, bool `[C]`."""
        return ~np.isnan(self.values).any(axis=1)

    def simplest(self) -> FixedMaps | None:
        """Return the same as constants where all are, and None where none is fixed."""
        constants, fixed = self.constants(), self.fixed()
        if not fixed.any():
            return None
        return self if np.isnan(constants[fixed]).any() else FixedMaps.of(constants)


def common_space(known: list[FixedMaps | None]) -> Space | None:
    """Return the space in which all of `known` can be told, constants aside; None where there are several."""
    spaces = {id(maps.space): maps.space for maps in known if maps is not None and maps.space is not CONSTANT}
    return None if len(spaces) > 1 else next(iter(spaces.values()), CONSTANT)
