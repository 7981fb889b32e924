"""What a written layer says of itself, and the one way back from it to the StripeConv.

Every Conv that carries weights or biases of a layer has GEOMETRY in its metadata: JSON with the shape and the geometry
of the convolution that the layer stands for, and where this node's numbers belong in it:

    "stripes"   per row of a 1x1 Conv: its stripe, `(filter*K_h + i)*K_w + j`             W[f, :, i, j] = row
    "filters", "window"   per row of a K'xK' Conv: its filter; the tap of its first weight   W[f, :, i0:, j0:] = row
    "bias"      per output: the filter whose bias it holds                                  b[f] = bias

-1 stands for a row of zeros that only fills up. `lift` puts everything back, bit for bit; it needs to know nothing
of the lowering that wrote the nodes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    from collections.abc import Sequence

    Stripe = tuple[int, int, int]

_LARGEST = 1 << 20
_LARGEST_KERNEL = 64
_MOST_WEIGHTS = 1 << 26
"""Of one layer: 256 MB in float32, four times VGG16's largest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some filters of a convolution, which are written as a convolution of their own.

    Attributes:
        whole: the layer's convolution.
        filters: of `whole`, in the order of the part's outputs; -1 is a filter of zeros.

    """

    whole: StripeConv
    filters: tuple[int, ...]

    @classmethod
    def of_all(cls, conv: StripeConv) -> Part:
        """Return the part that is all of `conv`, in its own order."""
        return cls(conv, tuple(range(conv.filters)))

    @cached_property
    def conv(self) -> StripeConv:
        """The part as a convolution."""
        chosen = np.array(self.filters, np.int64)
        weight, bias = self.whole.weight[chosen], self.whole.bias[chosen]
        weight[chosen < 0], bias[chosen < 0] = 0, 0
        return dataclasses.replace(self.whole, weight=weight, bias=bias)

    def geometry(
        self,
        *,
        stripes: Sequence[Stripe | None] | None = None,
        window: tuple[int, int] | None = None,
        bias: Sequence[int] | None = None,
    ) -> str:
        """Return the text of GEOMETRY for one node; filters are counted within the part.

        Args:
            stripes: `(filter, i, j)` of each row of a 1x1 Conv, None for a row of zeros.
            window: `(i, j)` of the first weight of a Conv with a row for each filter of the part.
            bias: the filter whose bias each output holds, -1 where that is none's.

        """
        height, width = self.whole.kernel
        facts: dict[str, object] = {
            "shape": self.whole.weight.shape,
            "strides": self.whole.strides,
            "pads": self.whole.pads,
            "dilations": self.whole.dilations,
        }
        if stripes is not None:
            places = [(self._filter(row[0]), row[1], row[2]) if row is not None else (-1, 0, 0) for row in stripes]
            facts["stripes"] = [(f * height + i) * width + j if f >= 0 else -1 for f, i, j in places]
        if window is not None:
            facts |= {"filters": self.filters, "window": window}
        if bias is not None:
            facts["bias"] = [self._filter(filter_) for filter_ in bias]
        return json.dumps(facts, separators=(",", ":"))

    def _filter(self, filter_: int) -> int:
        return self.filters[filter_] if filter_ >= 0 else -1


def lift(layer: str, nodes: Sequence[tuple[str, np.ndarray, np.ndarray | None]]) -> StripeConv:
    """Return the StripeConv that `layer` was written from.

    Args:
        layer: its name.
        nodes: GEOMETRY, weight and bias of each of its nodes that bears GEOMETRY.

    Raises:
        ValueError, KeyError, TypeError, IndexError: the metadata do not fit each other or the weights.

    """
    stated = [json.loads(text) for text, _, _ in nodes]
    first = stated[0]
    shape = _shape(stated, [weight for _, weight, _ in nodes])
    weight, bias = np.zeros(shape, nodes[0][1].dtype), np.zeros(shape[0], nodes[0][1].dtype)
    biased = np.zeros(shape[0], np.int64)
    for facts, (_, of_node, bias_of_node) in zip(stated, nodes, strict=True):
        if "stripes" in facts:
            _put_stripes(weight, of_node, np.array(facts["stripes"], np.int64))
        if "window" in facts:
            _put_window(weight, of_node, np.array(facts["filters"], np.int64), facts["window"])
        if "bias" in facts:
            if bias_of_node is None:
                raise ValueError("a node without bias claims to hold one")
            held = np.array(facts["bias"], np.int64)
            bias[held[held >= 0]] = _matching(held, bias_of_node)[held >= 0]
            np.add.at(biased, held[held >= 0], 1)
    if (biased != 1).any():
        raise ValueError("expected the bias of each filter once")
    geometry = _geometry(first)
    return StripeConv(name=layer, weight=weight, bias=bias, **geometry)


def is_too_large(shape: tuple[int, ...]) -> bool:
    """Tell whether a weight of `shape` is larger than what `lift` makes: a file's word must not take memory."""
    return max(shape) > _LARGEST or max(shape[2:]) > _LARGEST_KERNEL or math.prod(shape) > _MOST_WEIGHTS


def _shape(stated: Sequence[dict[str, list[int]]], parts: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Return the shape of the layer's weight, checked before so many zeros are made."""
    shape = tuple(stated[0]["shape"])
    if len(shape) != 4 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"{shape} is no shape of a weight")
    if is_too_large(shape):
        raise ValueError(f"a weight of {shape} is too large")
    if shape[0] > sum(len(facts.get("bias", ())) for facts in stated):
        raise ValueError("expected the bias of each filter once")
    holding = [part for facts, part in zip(stated, parts, strict=True) if facts.keys() & {"stripes", "window"}]
    if any(part.shape[1] != shape[1] for part in holding):
        raise ValueError(f"{shape} does not fit the weights of its nodes")
    return shape


def _geometry(facts: dict[str, list[int]]) -> dict[str, Any]:
    """Return strides, pads and dilations, checked."""
    geometry = {key: tuple(facts[key]) for key in ("strides", "pads", "dilations")}
    if not all(isinstance(n, int) and 0 <= n <= _LARGEST for numbers in geometry.values() for n in numbers):
        raise ValueError("strides, pads or dilations are no small numbers")
    if [len(numbers) for numbers in geometry.values()] != [2, 4, 2] or 0 in geometry["strides"] + geometry["dilations"]:
        raise ValueError("strides, pads or dilations are not those of a convolution")
    return geometry


def _put_stripes(weight: np.ndarray, rows: np.ndarray, stripes: np.ndarray) -> None:
    _, _, height, width = weight.shape
    kept = stripes[stripes >= 0]
    taps = kept % (height * width)
    weight[kept // (height * width), :, taps // width, taps % width] = _matching(stripes, rows)[stripes >= 0, :, 0, 0]


def _put_window(weight: np.ndarray, rows: np.ndarray, filters: np.ndarray, window: Sequence[int]) -> None:
    (i, j), (height, width) = window, rows.shape[2:]
    weight[filters[filters >= 0], :, i : i + height, j : j + width] = _matching(filters, rows)[filters >= 0]


def _matching(places: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if places.size != len(rows):
        raise ValueError(f"expected {len(rows)} places, one for each row, got {places.size}")
    return rows
