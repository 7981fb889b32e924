"""Which lowering each layer gets where nothing has been measured: by count, never slower than all of them dense.

A layer is `dense` or `pad-slice-add`, whichever costs less; `costs.py` counts both for the layer's map: products,
elements moved, nodes, blocks that are not filled. Two things follow from the network as a whole. Counts are right to
about a tenth, so if breaking layers gains no more than that, all are dense. And what is written so is meant to be small:
if all layers that lose little by it can be broken for a few percent of the network's time, they are.

`automatic.py` aims at speed alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.lowerings.costs import dense_cost, pad_slice_add_cost
from swp_export.lowerings.pad_slice_add import PadSliceAdd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.stripes import StripeConv

STATIC_MULTIPLE = 4
"""What channels are filled up to a multiple of: a Conv of 16 channels or more that are none takes up to twice as long in
ONNX Runtime, which keeps it out of the blocked layout. Whole blocks gain little more, for a larger file."""
GAIN = 0.9
"""Broken layers must take the network to so much of its dense cost, or none is broken."""
LITTLE = 1.3
"""A layer that costs at most so many times as much broken as dense loses little."""
SPENT = 1.03
"""So much of its time the network may spend on being smaller."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layer:
    """What a layer costs in both forms; `reason`: why it cannot be broken."""

    name: str
    dense: float
    broken: float
    reason: str | None

    def written(self, most: float) -> tuple[str, str, float]:
        """Return form, reason and cost where a layer is broken that costs less than `most` times as much as dense."""
        ratio = self.broken / self.dense
        if self.reason is not None:
            return "dense", self.reason, self.dense
        if ratio >= most:
            return "dense", f"breaking it would cost {ratio:.1f} times the work", self.dense
        why = f"{1 / ratio:.1f} times less work" if ratio < 1 else f"smaller, for {ratio:.1f} times the work"
        return "pad-slice-add", why, self.broken


def choose(convs: Mapping[str, StripeConv], positions: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Return the name of each layer's lowering and the reason, one short phrase.

    Args:
        convs: all layers of the network, by name.
        positions: of each one's output, height times width, for one image.

    """
    layers = [
        _Layer(
            name=name,
            dense=dense_cost(conv, positions[name]),
            broken=pad_slice_add_cost(conv, positions[name]),
            reason=PadSliceAdd().why_not(conv),
        )
        for name, conv in convs.items()
    ]
    dense, fast, small = (_cost(layers, most) for most in (0, 1, LITTLE))
    most = 0.0 if fast > GAIN * dense else LITTLE if small <= SPENT * fast else 1.0
    return {layer.name: layer.written(most)[:2] for layer in layers}


def _cost(layers: Sequence[_Layer], most: float) -> float:
    return sum(layer.written(most)[2] for layer in layers)
