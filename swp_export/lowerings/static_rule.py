"""Which lowering each layer gets where nothing has been measured: by count, never slower than all of them dense.

A layer is `dense` or `pad-slice-add`, whichever costs less; `costs.py` counts both for the layer's map: products,
elements moved, nodes, blocks that are not filled. Two things follow from the network as a whole. No count is right to a
few percent, so if breaking layers gains no more than that, all are dense. And what is written so is meant to be small:
layers that lose by being broken are broken too, as far as a few percent of the network's time go.

`automatic.py` aims at speed alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.lowerings.costs import dense_cost, pad_slice_add_cost
from swp_export.lowerings.pad_slice_add import PadSliceAdd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swp_export.stripes import StripeConv

GAIN = 0.95
"""Broken layers must take the network to so much of its dense cost, or none is broken."""
SPENT = 1.03
"""So much of its time the network may spend on being smaller."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layer:
    """What a layer costs in both forms, and how many weights it has in them; `reason`: why it cannot be broken."""

    dense: float
    broken: float
    dense_weights: int
    broken_weights: int
    reason: str | None

    @property
    def loss_by_weight(self) -> float:
        """What breaking it costs more, for each weight that it saves."""
        return (self.broken - self.dense) / max(1, self.dense_weights - self.broken_weights)

    def chosen(self, *, broken: bool) -> tuple[str, str]:
        """Return the form and why."""
        ratio = self.broken / self.dense
        if self.reason is not None:
            return "dense", self.reason
        if not broken:
            return "dense", f"{ratio:.1f}x the work if broken"
        return "pad-slice-add", (f"{1 / ratio:.1f}x less work" if ratio < 1 else f"smaller, for {ratio:.1f}x the work")


def choose(convs: Mapping[str, StripeConv], positions: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Return the name of each layer's lowering and the reason, one short phrase.

    Args:
        convs: all layers of the network, by name.
        positions: of each one's output, height times width, for one image.

    """
    layers = {name: _layer(conv, positions[name]) for name, conv in convs.items()}
    broken = _broken(layers)
    return {name: layer.chosen(broken=name in broken) for name, layer in layers.items()}


def _layer(conv: StripeConv, positions: int) -> _Layer:
    return _Layer(
        dense=dense_cost(conv, positions),
        broken=pad_slice_add_cost(conv, positions),
        dense_weights=conv.weight.size,
        broken_weights=conv.skeleton.live_stripes * conv.channels,
        reason=PadSliceAdd().why_not(conv),
    )


def _broken(layers: Mapping[str, _Layer]) -> set[str]:
    """Return the layers to break: those that gain, then of the others those that lose least for what they save."""
    dense = sum(layer.dense for layer in layers.values())
    breakable = [name for name, layer in layers.items() if layer.reason is None]
    broken = {name for name in breakable if layers[name].broken < layers[name].dense}
    cost = sum(layer.broken if name in broken else layer.dense for name, layer in layers.items())
    limit = SPENT * cost
    if limit > GAIN * dense:
        return set()
    for name in sorted(set(breakable) - broken, key=lambda name: (layers[name].loss_by_weight, name)):
        cost += layers[name].broken - layers[name].dense
        if cost > limit:
            break
        broken.add(name)
    return broken
