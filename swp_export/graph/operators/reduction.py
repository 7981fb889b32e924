"""Sums, means, norms and extremes over axes; running sums; the largest elements."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.arithmetic import cast_to
from swp_export.graph.operators.call import positive_axis
from swp_export.graph.operators.examples import MAPS, TOKENS, VECTORS
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.maps import MapWise, always, kept, never, stated_axis, unknown, zero_kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView
    from swp_export.graph.operators.rules.maps import MapConstant, Tells

    Over = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def over_axes(function: Over, axes_are_input_since: int = 18) -> Callable[[Call], np.ndarray]:
    """Return the operator that reduces its input by `function(x, axes)`, which keeps the axes at size 1.

    The axes are an attribute, and from the opset `axes_are_input_since` on the second input.
    """
    return partial(_reduced, function, axes_are_input_since)


def total(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the sum."""
    return np.asarray(x.sum(axis=axes, keepdims=True, dtype=x.dtype))


def product(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the product."""
    return np.asarray(x.prod(axis=axes, keepdims=True, dtype=x.dtype))


def mean(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the mean; of integers without its fraction."""
    count = np.prod([x.shape[axis] for axis in axes])
    return cast_to(np.asarray(x.sum(axis=axes, keepdims=True) / count), x.dtype)


def largest(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the maximum."""
    return np.asarray(x.max(axis=axes, keepdims=True))


def smallest(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the minimum."""
    return np.asarray(x.min(axis=axes, keepdims=True))


def norm_1(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the sum of magnitudes."""
    return total(np.abs(x), axes)


def norm_2(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the root of the sum of squares."""
    return cast_to(np.sqrt(sum_of_squares(x, axes)), x.dtype)


def sum_of_squares(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the sum of squares."""
    return total(x * x, axes)


def log_sum(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the logarithm of the sum."""
    return cast_to(np.log(total(x, axes)), x.dtype)


def log_sum_exp(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return the logarithm of the sum of exponentials, without overflow."""
    top = np.asarray(x.max(axis=axes, keepdims=True))
    top = np.where(np.isfinite(top), top, 0)
    return cast_to(top + np.log(np.exp(x - top).sum(axis=axes, keepdims=True)), x.dtype)


def arg_max(call: Call) -> np.ndarray:
    """Where the largest element lies: the first, or the last where select_last_index = 1."""
    return _arg(call, call.input(0))


def arg_min(call: Call) -> np.ndarray:
    """Where the smallest element lies: the first, or the last where select_last_index = 1."""
    x = call.input(0)
    return _arg(call, ~x if x.dtype.kind in "iu" else -x)  # ~ mirrors integers without an overflow


def cumulative_sum(call: Call) -> np.ndarray:
    """Return the running sum along an axis."""
    x = call.input(0)
    axis = positive_axis(int(call.input(1).reshape(-1)[0]), x.ndim)
    x = np.flip(x, axis) if call.integer("reverse", 0) else x
    y = np.cumsum(x, axis=axis, dtype=x.dtype)
    if call.integer("exclusive", 0):
        y = np.roll(y, 1, axis)
        y[(slice(None),) * axis + (0,)] = 0
    return np.flip(y, axis) if call.integer("reverse", 0) else y


def top_k(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest or smallest elements along an axis and where they lie; of equal ones the first."""
    x = call.input(0)
    axis = positive_axis(call.integer("axis", -1), x.ndim)
    count = call.integer("k", 0) if call.opset < 10 else int(call.input(1).reshape(-1)[0])
    if not 0 <= count <= x.shape[axis]:
        raise ValueError(f"the {count} largest of {x.shape[axis]} elements")
    keys = x if not call.integer("largest", 1) else ~x if x.dtype.kind in "iu" else -x
    order = np.argsort(keys, axis=axis, kind="stable")
    places = order.take(range(count), axis=axis)
    return np.take_along_axis(x, places, axis), places


def _reduced(function: Over, axes_are_input_since: int, call: Call) -> np.ndarray:
    x = call.input(0)
    axes = call.integers("axes") if call.opset < axes_are_input_since else call.numbers(1)
    chosen = tuple(positive_axis(axis, x.ndim) for axis in axes or ())
    if not axes and not call.integer("noop_with_empty_axes", 0):
        chosen = tuple(range(x.ndim))
    y = function(x, chosen)
    return y if call.integer("keepdims", 1) else y.squeeze(axis=chosen)


def _arg(call: Call, x: np.ndarray) -> np.ndarray:
    axis = positive_axis(call.integer("axis", 0), x.ndim)
    if call.integer("select_last_index", 0):
        y = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis)
    else:
        y = np.argmax(x, axis=axis)
    return np.asarray(np.expand_dims(y, axis) if call.integer("keepdims", 1) else y, np.int64)


def _reduced_axes(node: NodeView) -> set[int] | None:
    """Return the axes that a reduction joins: those stated, or all, or none."""
    rank, axes = node.rank(0), node.numbers(1, "axes")
    if rank is None or (axes is None and node.input(1) is not None):
        return None
    if axes:
        return {axis % rank for axis in axes}
    return set() if node.integer("noop_with_empty_axes", 0) else {*range(rank)}


def _removed_axes(node: NodeView) -> set[int] | None:
    return set() if node.integer("keepdims", 1) else _reduced_axes(node)


def _over(
    function: Over,
    constant: MapConstant = zero_kept,
    since: int = 18,
    rounding: Rounding = Rounding.ROUNDED,
    low: float = -2.0,
    *,
    finite: bool = True,
    linear: Tells = never,
) -> Operator:
    """Return a row of a reduction over axes."""
    maps = Tensor(shape=MAPS.shape, low=low)
    return Operator(
        compute=over_axes(function, since),
        channels=MapWise(_reduced_axes, constant, removes=_removed_axes, finite=finite, linear=linear),
        rounding=rounding,
        examples=[
            Example(inputs=[maps], attributes={"axes": [2, 3]}, until=since - 1),
            Example(inputs=[maps, np.array([2, 3])], since=since),
            Example(inputs=[maps, np.array([-1, -2])], attributes={"keepdims": 0}, since=since),
            Example(
                inputs=[Tensor(shape=TOKENS.shape, axis=2, low=low), np.array([1])],
                attributes={"keepdims": 0},
                since=since,
            ),
            Example(inputs=[maps, np.array([1])], since=since, pins="joins all of them"),
            Example(inputs=[maps], pins="joins all of them"),
        ],
    )


_chosen_axis = stated_axis(0)


def _summed_axis(node: NodeView) -> set[int] | None:
    rank, axes = node.rank(0), node.numbers(1)
    return None if rank is None or axes is None else {axis % rank for axis in axes}


def _chosen_and_removed(node: NodeView) -> set[int] | None:
    return set() if node.integer("keepdims", 1) else _chosen_axis(node)


def _chosen(compute: Callable[[Call], np.ndarray]) -> Operator:
    """Return a row of an operator that says where the largest or smallest stands."""
    return Operator(
        compute=compute,
        channels=MapWise(_chosen_axis, unknown, removes=_chosen_and_removed, joins="compares all of them"),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"axis": 3}),
            Example(inputs=[MAPS], attributes={"axis": 2, "keepdims": 0}),
            Example(inputs=[MAPS], attributes={"axis": 1}, pins="compares all of them"),
        ],
    )


OPERATORS: dict[str, Operator] = {
    "ArgMax": _chosen(arg_max),
    "ArgMin": _chosen(arg_min),
    "CumSum": Operator(
        compute=cumulative_sum,
        channels=MapWise(_summed_axis, zero_kept, joins="sums over them one after the other"),
        examples=[
            Example(inputs=[MAPS, np.array(2)], since=11),
            Example(inputs=[TOKENS, np.array(-2)], since=11),
            Example(inputs=[MAPS, np.array(1)], since=11, pins="sums over them"),
        ],
    ),
    "ReduceL1": _over(norm_1),
    "ReduceL2": _over(norm_2),
    "ReduceLogSum": _over(log_sum, unknown, low=0.1, finite=False),
    "ReduceLogSumExp": _over(log_sum_exp, unknown),
    "ReduceMax": _over(largest, kept, rounding=Rounding.EXACT),
    "ReduceMean": _over(mean, kept, linear=always),
    "ReduceMin": _over(smallest, kept, rounding=Rounding.EXACT),
    "ReduceProd": _over(product),
    "ReduceSum": _over(total, since=13, linear=always),
    "ReduceSumSquare": _over(sum_of_squares),
    "TopK": Operator(
        compute=top_k,
        channels=ChannelRule("sorts them"),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[VECTORS, np.array([3])], outputs=2, since=10, pins="sorts them")],
    ),
}
