"""Operators that choose elements by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.graph.operators.call import UnsupportedError, positive_axis
from swp_export.graph.operators.examples import VECTORS, pinned
from swp_export.graph.operators.joining import within
from swp_export.graph.operators.operator import Operator, Rounding, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.operators.call import Call, Result

_REDUCTIONS: dict[str, Callable[[np.ndarray, tuple[np.ndarray, ...], np.ndarray], None]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def gather_elements(call: Call) -> np.ndarray:
    """One element for each index, along an axis."""
    x, indices = call.input(0), call.input(1)
    axis = positive_axis(call.integer("axis", 0), x.ndim)
    return np.asarray(x[_along(axis, indices, x.shape)])


def gather_nd(call: Call) -> np.ndarray:
    """Slices whose place is the last axis of the indices; the first axes are common to both."""
    x, indices, batches = call.input(0), call.input(1), call.integer("batch_dims", 0)
    common = np.indices(indices.shape[:-1], sparse=True)[:batches]
    places = [within(indices[..., k], x.shape[batches + k]) for k in range(indices.shape[-1])]
    return np.asarray(x[(*common, *places)])


def scatter_elements(call: Call) -> np.ndarray:
    """Return the input with one element for each index replaced, along an axis."""
    x, indices, updates = call.input(0), call.input(1), call.input(2)
    axis = positive_axis(call.integer("axis", 0), x.ndim)
    return _scattered(call, x, _along(axis, indices, x.shape), updates)


def scatter_nd(call: Call) -> np.ndarray:
    """Return the input with slices replaced, whose place is the last axis of the indices."""
    x, indices, updates = call.input(0), call.input(1), call.input(2)
    places = tuple(within(indices[..., k], x.shape[k]) for k in range(indices.shape[-1]))
    return _scattered(call, x, places, updates)


def one_hot(call: Call) -> np.ndarray:
    """Return a new axis with the on value at each index; indices outside give none."""
    indices, depth, values = call.input(0), int(call.input(1).reshape(-1)[0]), call.input(2)
    indices = np.trunc(indices).astype(np.int64)
    axis = positive_axis(call.integer("axis", -1), indices.ndim + 1)
    inside = (indices >= -depth) & (indices < depth)
    hot = (np.arange(depth) == (indices % depth)[..., None]) & inside[..., None]
    return np.moveaxis(np.where(hot, values[1], values[0]), -1, axis)


def non_zero(call: Call) -> np.ndarray:
    """Return the indices of what is not zero, one column each."""
    x = call.input(0)
    return np.array(np.nonzero(np.atleast_1d(x)), np.int64)[: x.ndim]


def compress(call: Call) -> np.ndarray:
    """Return the slices along an axis, or the elements, that a condition chooses."""
    x, chosen = call.input(0), call.input(1)
    if "axis" not in call.attributes:
        return np.compress(chosen, x.reshape(-1))
    return np.compress(chosen, x, axis=positive_axis(call.integer("axis", 0), x.ndim))


def trilu(call: Call) -> np.ndarray:
    """Return the upper or lower triangle of the last two axes."""
    x, shift = call.input(0), call.numbers(1)
    k = shift[0] if shift else 0
    return np.triu(x, k) if call.integer("upper", 1) else np.tril(x, k)


def reverse_sequence(call: Call) -> np.ndarray:
    """Return the first elements of each sequence in reverse."""
    x, lengths = call.input(0), call.numbers(1) or []
    time, batch = call.integer("time_axis", 0), call.integer("batch_axis", 1)
    y = np.moveaxis(x.copy(), (batch, time), (0, 1))
    for row, length in zip(y, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    return np.moveaxis(y, (0, 1), (batch, time))


def non_max_suppression(call: Call) -> np.ndarray:
    """Return the boxes that are kept, `[n, 3]` of batch, class and box: per class by falling score."""
    boxes, scores = call.input(0), call.input(1)
    most = (call.numbers(2) or [0])[0]
    overlap, least = (
        None if array is None else float(array.reshape(-1)[0]) for array in (call.optional(3), call.optional(4))
    )
    if call.integer("center_point_box", 0):
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        low, high = centre - half, centre + half
    else:
        low, high = np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])
    kept: list[tuple[int, int, int]] = []
    for batch, kind in np.ndindex(scores.shape[:2]):
        row = scores[batch, kind]
        order = np.argsort(-row, kind="stable")
        order = order if least is None else order[row[order] > least]
        kept += [(batch, kind, box) for box in _not_over_another(low[batch], high[batch], order, overlap or 0.0, most)]
    return np.array(kept, np.int64).reshape(-1, 3)


def _not_over_another(low: np.ndarray, high: np.ndarray, order: np.ndarray, overlap: float, most: int) -> list[int]:
    """Return the first `most` boxes of `order` that share no more than `overlap` with one before."""
    area = (high - low).prod(axis=-1)
    kept: list[int] = []
    for box in order:
        if len(kept) >= most:
            break
        sides = np.minimum(high[kept], high[box]) - np.maximum(low[kept], low[box])
        common = np.maximum(sides, 0).prod(axis=-1)
        union = area[kept] + area[box] - common
        if not ((common > 0) & (common / np.where(union > 0, union, 1) > overlap)).any():
            kept.append(int(box))
    return kept


def _along(axis: int, indices: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
    places[axis] = within(indices, shape[axis])
    return tuple(places)


def _scattered(call: Call, x: np.ndarray, places: tuple[np.ndarray, ...], updates: np.ndarray) -> np.ndarray:
    y, reduction = x.copy(), call.text("reduction", "none")
    if reduction == "none":
        y[places] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction](y, places, updates)
    else:
        raise UnsupportedError(f"reduction = {reduction!r}")
    return y


def _keeps(
    compute: Callable[[Call], Result], *inputs: Tensor | np.ndarray | None, since: int = 7, **kw: Any
) -> Operator:
    """Return a row of an operator that keeps all channels it reads."""
    return Operator(compute=compute, rounding=Rounding.EXACT, examples=pinned(*inputs, since=since, **kw))


_FIRST = np.zeros((3, 1), np.int64)

OPERATORS: dict[str, Operator] = {
    "Compress": _keeps(compress, VECTORS, np.array([True, False, True]), since=9, axis=0),
    "GatherElements": _keeps(gather_elements, VECTORS, _FIRST, since=11, axis=1),
    "GatherND": _keeps(gather_nd, VECTORS, _FIRST, since=11),
    "NonMaxSuppression": Operator(
        compute=non_max_suppression,
        rounding=Rounding.EXACT,
        examples=pinned(Tensor(shape=(1, 6, 4)), Tensor(shape=(1, 2, 6), axis=2), np.array([3]), since=10),
    ),
    "NonZero": _keeps(non_zero, VECTORS, since=9),
    "OneHot": _keeps(one_hot, Tensor(shape=(3,), axis=0, dtype="int64"), np.array(4), np.array([0, 1]), since=9),
    "ReverseSequence": _keeps(reverse_sequence, VECTORS, np.array([1, 2, 1, 2, 1, 3]), since=10),
    "Scatter": Operator(
        compute=scatter_elements,
        rounding=Rounding.EXACT,
        examples=pinned(VECTORS, _FIRST, np.ones((3, 1), np.float32), axis=1, since=9, until=10),
    ),
    "ScatterElements": _keeps(scatter_elements, VECTORS, _FIRST, np.ones((3, 1), np.float32), since=11, axis=1),
    "ScatterND": _keeps(scatter_nd, VECTORS, _FIRST[:1], np.ones((1, 6), np.float32), since=11),
    "Trilu": _keeps(trilu, VECTORS, since=14),
}
