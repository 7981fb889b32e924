"""Inputs that many rows' examples share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.graph.operators.operator import Example, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

MAPS = Tensor(shape=(2, 6, 5, 4))
"""`[N, C, H, W]`"""
VECTORS = Tensor(shape=(3, 6))
"""`[N, C]`"""
TOKENS = Tensor(shape=(2, 5, 6), axis=2)
"""`[N, positions, C]`"""
PER_CHANNEL = np.linspace(0.25, 1.5, 6, dtype=np.float32)
"""A positive number for each of six channels."""


def one_input(low: float = -2.0, high: float = 2.0) -> Sequence[Example]:
    """Return examples of an operator on each element of one tensor, whose elements are between `low` and `high`."""
    shapes = ((MAPS.shape, 1), (VECTORS.shape, 1), (TOKENS.shape, 2))
    return [Example(inputs=[Tensor(shape=shape, axis=axis, low=low, high=high)]) for shape, axis in shapes]


def two_inputs(low: float = -2.0, high: float = 2.0, since: int = 7) -> Sequence[Example]:
    """Return examples of an operator on each element of two tensors, broadcast, which it allows `since` an opset."""
    maps = Tensor(shape=MAPS.shape, low=low, high=high)
    tokens = Tensor(shape=TOKENS.shape, axis=2, low=low, high=high)
    gate = Tensor(shape=(2, 6, 1, 1), low=low, high=high)
    mask = Tensor(shape=(2, 1, 5, 4), low=low, high=high)
    vector = Tensor(shape=(6,), axis=0, low=low, high=high)
    one = PER_CHANNEL
    given: list[list[Tensor | np.ndarray]] = [
        [maps, maps],
        [maps, gate],
        [mask, maps],
        [maps, np.array(0.5, np.float32)],
        [one.reshape(6, 1, 1), maps],
        [maps, one.reshape(1, 6, 1, 1)],
        [maps, np.broadcast_to(one.reshape(6, 1, 1), (6, 5, 4)).copy()],
        [tokens, one],
        [vector, tokens],
    ]
    return [
        *(Example(inputs=inputs, since=since) for inputs in given),
        Example(
            inputs=[maps, Tensor(shape=(5, 4), axis=0, low=low, high=high)],
            since=since,
            pins="aligns them with another axis",
        ),
    ]


def pinned(
    *inputs: Tensor | np.ndarray | np.generic | None,
    reason: str = "reads them",
    since: int = 7,
    until: int = 26,
    **attributes: Any,
) -> Sequence[Example]:
    """Return the example of an operator that keeps all channels, for a reason."""
    return [Example(inputs=inputs, attributes=attributes, pins=reason, since=since, until=until)]
