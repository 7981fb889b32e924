"""Small layers for the examples of lowerings.

Their weights, biases and inputs are small integers, whose products and sums float32 holds exactly in any order of
summation: a lowering that computes the convolution gives the same bits, and one that does not is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

LARGEST = 7
"""Of a weight or bias."""


class Geometry(NamedTuple):
    """Strides, pads and dilations, as those of a StripeConv."""

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)


SAME = Geometry(pads=(1, 1, 1, 1))
GEOMETRIES = {
    "same": SAME,
    "no pads": Geometry(),
    "stride 2": Geometry(strides=(2, 2), pads=(1, 1, 1, 1)),
    "stride 3x1": Geometry(strides=(3, 1), pads=(2, 0, 1, 3)),
    "dilation": Geometry(dilations=(2, 3), pads=(2, 3, 2, 3)),
    "stride and dilation": Geometry(strides=(2, 3), dilations=(3, 2), pads=(0, 4, 1, 0)),
}


def layer(name: str, mask: Mask, geometry: Geometry = SAME, channels: int = 3) -> StripeConv:
    """Return a float32 layer whose live stripes are `mask`, bool `[N, K_h, K_w]`."""
    rng = np.random.default_rng(mask.size)
    shape = (mask.shape[0], channels, *mask.shape[1:])
    weight = rng.integers(1, LARGEST, size=shape) * rng.choice([-1, 1], size=shape) * mask[:, None]
    bias = rng.integers(-LARGEST, LARGEST, size=len(mask)).astype(np.float32)
    return StripeConv(name=name, weight=weight.astype(np.float32), bias=bias, **geometry._asdict())


def in_every_geometry(name: str, mask: Mask) -> list[StripeConv]:
    """Return a layer for each stride, dilation and padding that a careless lowering gets wrong."""
    return [layer(f"{name}, {what}", mask, geometry) for what, geometry in GEOMETRIES.items()]


def any_layers() -> list[StripeConv]:
    """Return layers for a lowering that takes any kernel but 1x1: the skeletons that a careless one gets wrong."""
    mixed = mask_of_counts([0, 1, 1, 2, 9, 4, 1, 0, 3, 1, 1, 2, 5, 1, 1, 1, 6, 1, 2, 1])
    dead_tap, filters_of_none, row = (mixed.copy() for _ in range(3))
    dead_tap[:, 0, 1] = False
    filters_of_none[[0, 3, 19]] = False
    row[:, 1:] = False
    last, centre = (np.zeros((5, 3, 3), bool) for _ in range(2))
    last[3, 2, 0] = True
    centre[:, 1, 1] = True
    first_of_five = np.zeros((2, 5, 5), bool)
    first_of_five[:, 0] = True
    return [
        *in_every_geometry("mixed", mixed),
        layer("dead tap", dead_tap),
        layer("two stripes at most", mask_of_counts([1, 2, 0, 2, 1])),
        layer("all live", np.ones((5, 3, 3), bool)),
        layer("all dead", np.zeros((5, 3, 3), bool)),
        layer("one stripe", last),
        layer("one stripe, no pads", last, Geometry()),
        layer("centre only", centre),
        layer("filters without stripes", filters_of_none),
        layer("a row", row),
        layer("even kernel", mixed.reshape(-1, 2, 2)[:12]),
        layer("flat kernel", mixed.reshape(-1, 1, 3)[:24], Geometry(pads=(0, 1, 0, 1)), 1),
        layer("crop larger than the input", first_of_five, Geometry(pads=(2, 2, 2, 2))),
    ]


def mask_of_counts(counts: list[int]) -> Mask:
    """Return the mask of a 3x3 layer whose filters have `counts` live stripes, at random taps."""
    rng = np.random.default_rng(0)
    return np.array([rng.permutation(9) < count for count in counts]).reshape(-1, 3, 3)
