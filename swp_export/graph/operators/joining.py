"""Concat, Split, Slice and Gather: parts of tensors put together and taken apart along an axis."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import set_input
from swp_export.graph.operators.call import positive_axis
from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, TOKENS
from swp_export.graph.operators.node_view import Pins, taken
from swp_export.graph.operators.operator import Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.routes import Moves, Route, Selects, from_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView, Places


def concat(call: Call) -> np.ndarray:
    """Return the inputs one behind the other along an axis."""
    arrays = [call.input(index) for index in range(len(call.inputs))]
    return np.concatenate(arrays, axis=positive_axis(call.integer("axis", 0), arrays[0].ndim))


def split(call: Call) -> tuple[np.ndarray, ...]:
    """Parts along an axis: of stated sizes, or equal ones of which the last may be smaller."""
    x = call.input(0)
    axis = positive_axis(call.integer("axis", 0), x.ndim)
    sizes = call.integers("split") if call.opset < 13 else call.numbers(1)
    if sizes is None:
        parts = call.integer("num_outputs", call.outputs)
        size = -(-x.shape[axis] // parts)
        sizes = [size] * (parts - 1) + [x.shape[axis] - size * (parts - 1)]
    if sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise ValueError(f"{x.shape[axis]} elements do not make parts of {sizes}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def slice_(call: Call) -> np.ndarray:
    """Return a part of some axes: attributes before opset 10, inputs from it on."""
    x = call.input(0)
    if call.opset < 10:
        starts, ends, axes = (call.integers(name) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (call.numbers(index) for index in (1, 2, 3, 4))
    starts, ends = starts or [], ends or []
    axes = list(range(len(starts))) if axes is None else axes
    parts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        parts[positive_axis(axis, x.ndim)] = _part(start, end, step, x.shape[axis])
    return x[tuple(parts)]


def gather(call: Call) -> np.ndarray:
    """Slices along an axis."""
    x, indices = call.input(0), call.input(1)
    axis = positive_axis(call.integer("axis", 0), x.ndim)
    return np.asarray(x.take(within(indices, x.shape[axis]), axis=axis))


def within(indices: np.ndarray, count: int) -> np.ndarray:
    """Return `indices` counted from the front of an axis of `count` elements.

    Raises:
        ValueError: one lies outside.

    """
    if ((indices < -count) | (indices >= count)).any():
        raise ValueError(f"an index outside of an axis of {count}")
    return np.where(indices < 0, indices + count, indices)


def _part(start: int, end: int, step: int, count: int) -> slice:
    """Return ONNX's slice of an axis of `count` elements in Python's terms; ends far outside mean all of it."""
    if step == 0:
        raise ValueError("a slice of step 0")
    start, end = (position + count if position < 0 else position for position in (start, end))
    if step > 0:
        return slice(max(0, min(start, count)), max(0, min(end, count)), step)
    start, end = max(0, min(start, count - 1)), max(-1, min(end, count - 1))
    return slice(start, None if end < 0 else end, step)


def _concat_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    count = len(node.node.inputs)
    layouts = [node.layout(index) for index in range(count)]
    known = {layout.axis for layout in layouts if layout is not None}
    rank = node.rank(0)
    if len(known) != 1 or rank is None:
        return Pins("joins them with a tensor whose channels are not known")
    (axis,) = known
    if node.integer("axis", 0) % rank != axis:
        if None in layouts or len({layout.ids.size for layout in layouts if layout is not None}) > 1:
            return Pins("joins them with a tensor whose channels are not known")
        first, *others = (from_input(axis, range(_size(node, index, axis) or 0), index) for index in range(count))
        return (Route(axis, first.origin, first.position, [(other.origin, other.position) for other in others]),)
    sizes = [_size(node, index, axis) for index in range(count)]
    if any(size is None for size in sizes):
        return Pins("joins them with a tensor whose channels are not known")
    parts = [from_input(axis, range(size or 0), index) for index, size in enumerate(sizes)]
    origin, position = (np.concatenate([getattr(part, name) for part in parts]) for name in ("origin", "position"))
    return (Route(axis, origin, position, whole=True),)


def _size(node: NodeView, index: int, axis: int) -> int | None:
    """Return how many channels an input has along `axis`; None where that is open."""
    shape = node.shape(index)
    size = None if shape is None or len(shape) <= axis else shape[axis]
    return size if isinstance(size, int) else None


def _retake_concat(node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
    """Cut the constants among the parts."""
    del inputs
    layout, places, start = node.output_layout(), outputs[0], 0
    assert layout is not None
    assert places is not None
    if node.integer("axis", 0) % (node.rank(0) or 1) != layout.axis:
        return
    for index in range(len(node.node.inputs)):
        size, array = _size(node, index, layout.axis) or 0, node.constant(index)
        if array is not None:
            own = places[(start <= places) & (places < start + size)] - start
            set_input(node.node, index, str(index), taken(array, own, layout.axis))
        start += size


def _split_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, rank, count = node.layout(0), node.rank(0), len(node.node.outputs)
    if layout is None or rank is None:
        return Pins("reads a tensor whose channels are not known")
    if node.integer("axis", 0) % rank != layout.axis:
        return tuple(from_input(layout.axis, range(layout.ids.size)) for _ in range(count))
    sizes = node.numbers(1, "split")
    if sizes is None:
        if len(node.node.inputs) > 1 and node.input(1) is not None:
            return Pins("splits them into parts whose sizes are computed")
        size = -(-layout.ids.size // count)
        sizes = [size] * (count - 1) + [layout.ids.size - size * (count - 1)]
    if len(sizes) != count or sum(sizes) != layout.ids.size:
        return Pins("splits them into parts that do not fit")
    starts = np.cumsum([0, *sizes])
    return tuple(from_input(layout.axis, range(a, b), whole=True) for a, b in itertools.pairwise(starts.tolist()))


def _retake_split(node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
    """State the sizes of the parts."""
    del inputs
    layout = node.layout(0)
    assert layout is not None
    if node.integer("axis", 0) % (node.rank(0) or 1) == layout.axis:
        node.node.attributes.pop("num_outputs", None)
        sizes = [0 if places is None else places.size for places in outputs]
        set_input(node.node, 1, "split", np.array(sizes, np.int64))


def _slice_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout = node.layout(0)
    if layout is None:
        return Pins("reads a tensor whose channels are not known")
    bounds = _bounds(node)
    if bounds is None:
        return Pins("takes a part whose bounds are computed")
    if layout.axis not in bounds:
        return (from_input(layout.axis, range(layout.ids.size)),)
    part = _part(*bounds[layout.axis], layout.ids.size)
    if part.step not in {None, 1}:
        return Pins("takes some of them in steps")
    return (from_input(layout.axis, np.arange(layout.ids.size)[part], whole=len(bounds) == 1),)


def _bounds(node: NodeView) -> dict[int, tuple[int, int, int]] | None:
    """Return start, end and step by axis; None where an axis is not known, or the bounds of that of the channels."""
    layout, rank = node.layout(0), node.rank(0)
    axes, steps = node.numbers(3, "axes"), node.numbers(4)
    starts, ends = node.numbers(1, "starts"), node.numbers(2, "ends")
    if rank is None or layout is None or (axes is None and node.input(3) is not None):
        return None
    if axes is None:
        count = node.shape(1) if starts is None else (len(starts),)
        if not count or not isinstance(count[0], int):
            return None
        axes = list(range(count[0]))
    axes = [axis % rank for axis in axes]
    if layout.axis not in axes:
        return {}
    if starts is None or ends is None or (steps is None and node.input(4) is not None):
        return None
    return {a: (s, e, t) for a, s, e, t in zip(axes, starts, ends, steps or [1] * len(axes), strict=True)}


def _retake_slice(node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
    """Move the bounds to where the channels are now."""
    layout, bounds = node.layout(0), _bounds(node)
    assert layout is not None
    before, after = inputs[0], outputs[0]
    if not bounds or before is None or after is None:
        return
    start, end, step = bounds[layout.axis]
    held = np.arange(layout.ids.size)[_part(start, end, step, layout.ids.size)]
    known = int(np.flatnonzero(after >= 0)[0])  # a part is never all new
    start = int(np.flatnonzero(before == held[after[known]])[0]) - known
    bounds[layout.axis] = (start, start + after.size, 1)
    axes = list(bounds)
    for index, values in enumerate([*zip(*bounds.values(), strict=True)][:2], start=1):
        set_input(node.node, index, ("starts", "ends")[index - 1], np.array(values, np.int64))
    if node.input(3) is None:
        set_input(node.node, 3, "axes", np.array(axes, np.int64))


def _gather_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, rank, indices = node.layout(0), node.rank(0), node.constant(1)
    of_indices = node.rank(1)
    if layout is None or rank is None or of_indices is None:
        return Pins("reads a tensor whose channels are not known")
    axis = node.integer("axis", 0) % rank
    if axis != layout.axis:
        moved = layout.axis + (of_indices - 1 if axis < layout.axis else 0)
        return (from_input(moved, range(layout.ids.size)),)
    if indices is None or indices.ndim != 1:
        return Pins("takes some of them by index")
    return (from_input(axis, indices % layout.ids.size, whole=True),)


def _retake_gather(node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
    """Point the indices to where the channels are now."""
    layout, indices = node.layout(0), node.constant(1)
    before, after = inputs[0], outputs[0]
    assert layout is not None
    if before is None or after is None or node.integer("axis", 0) % (node.rank(0) or 1) != layout.axis:
        return
    assert indices is not None
    wanted = np.where(after >= 0, indices.astype(np.int64)[after] % layout.ids.size, -1)
    now = [int(np.flatnonzero(before == old)[0]) for old in wanted.tolist()]
    set_input(node.node, 1, "indices", np.array(now, np.int64))


OPERATORS: dict[str, Operator] = {
    "Concat": Operator(
        compute=concat,
        channels=Moves(_concat_route, _retake_concat),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS, Tensor(shape=(2, 3, 5, 4))], attributes={"axis": 1}),
            Example(
                inputs=[MAPS, PER_CHANNEL[:4].reshape(1, 4, 1, 1).repeat(2, 0).repeat(5, 2).repeat(4, 3)],
                attributes={"axis": -3},
            ),
            Example(inputs=[MAPS, Tensor(shape=(2, 6, 2, 4))], attributes={"axis": 2}),
            Example(inputs=[MAPS, Tensor(shape=(2, 3, 5, 4), axis=None)], attributes={"axis": 1}),
            Example(inputs=[MAPS, Tensor(shape=(2, 6, 5, 4), axis=None)], attributes={"axis": 2}, pins="joins them"),
        ],
    ),
    "Gather": Operator(
        compute=gather,
        channels=Selects(_gather_route, _retake_gather),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS, np.array([0, 3, 1, 4, 2, -1])], attributes={"axis": 1}),
            Example(inputs=[MAPS, np.array([5, 1, 1])], attributes={"axis": 1}),
            Example(inputs=[MAPS, np.array(2)], attributes={"axis": 2}),
            Example(inputs=[TOKENS, np.array(0)], attributes={"axis": 1}),
            Example(inputs=[MAPS, np.array(2)], attributes={"axis": 1}, pins="takes some of them by index"),
        ],
    ),
    "Slice": Operator(
        compute=slice_,
        channels=Moves(_slice_route, _retake_slice),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"starts": [1], "ends": [3], "axes": [2]}, until=9),
            Example(inputs=[MAPS, np.array([1]), np.array([99]), np.array([1])], since=10),
            Example(inputs=[MAPS, np.array([-4, 1]), np.array([-1, 4]), np.array([-3, 2])], since=10),
            Example(inputs=[MAPS, np.array([0, 0]), np.array([9, 4])], since=10),
            Example(inputs=[MAPS, np.array([0]), np.array([9]), np.array([3]), np.array([2])], since=10),
            Example(
                inputs=[MAPS, np.array([0]), np.array([9]), np.array([1]), np.array([2])],
                since=10,
                pins="takes some of them in steps",
            ),
        ],
    ),
    "Split": Operator(
        compute=split,
        channels=Moves(_split_route, _retake_split),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"axis": 1, "split": [2, 4]}, outputs=2, until=12),
            Example(inputs=[MAPS, np.array([4, 2])], attributes={"axis": 1}, outputs=2, since=13),
            Example(inputs=[MAPS, np.array([2, 3])], attributes={"axis": 2}, outputs=2, since=13),
            Example(inputs=[MAPS], attributes={"axis": 1, "num_outputs": 3}, outputs=3, since=18),
        ],
    ),
}
