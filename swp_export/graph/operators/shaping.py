"""Operators that give a tensor another shape and change no element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of, set_input
from swp_export.graph.operators.call import positive_axis
from swp_export.graph.operators.examples import MAPS, TOKENS, VECTORS, one_input, pinned
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import Pins
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.elementwise import Elementwise
from swp_export.graph.operators.rules.routes import Moves, Route, from_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import Dim, Layout, NodeView, Places


def identity(call: Call) -> np.ndarray:
    """Return the input."""
    return call.input(0)


def reshape(call: Call) -> np.ndarray:
    """Another shape; 0 keeps a size (unless allowzero = 1), -1 takes what is left."""
    x, shape = call.input(0), call.numbers(1) or []
    if not call.integer("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def flatten(call: Call) -> np.ndarray:
    """Two axes: those before `axis`, and the others."""
    x = call.input(0)
    axis = call.integer("axis", 1)
    axis = axis if axis == x.ndim else positive_axis(axis, x.ndim)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def squeeze(call: Call) -> np.ndarray:
    """Without axes of size 1: those named, or all."""
    x, axes = call.input(0), _axes(call)
    return x.squeeze(axis=None if axes is None else tuple(axes))


def unsqueeze(call: Call) -> np.ndarray:
    """With axes of size 1, where the output has them."""
    return np.expand_dims(call.input(0), tuple(_axes(call) or []))


def transpose(call: Call) -> np.ndarray:
    """Return the axes in another order, reversed where none is stated."""
    return call.input(0).transpose(call.integers("perm"))


def expand(call: Call) -> np.ndarray:
    """Repeated along axes of size 1, as in broadcasting."""
    x, shape = call.input(0), call.numbers(1) or []
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))


def tile(call: Call) -> np.ndarray:
    """Repeated as a whole."""
    return np.tile(call.input(0), call.numbers(1) or [])


def shape(call: Call) -> np.ndarray:
    """Return the sizes of the axes, from `start` to `end`."""
    x = call.input(0)
    end = call.integer("end", x.ndim)
    return np.array(x.shape[call.integer("start", 0) : end], np.int64)


def size(call: Call) -> np.ndarray:
    """Return the number of elements."""
    return np.array(call.input(0).size, np.int64)


def _axes(call: Call) -> list[int] | None:
    """Return the axes of Squeeze and Unsqueeze: an attribute before opset 13, an input from it on."""
    return call.integers("axes") if call.opset < 13 else call.numbers(1)


def reshaped_axis(before: Sequence[Dim], after: Sequence[Dim], axis: int) -> tuple[int, int] | Pins:
    """Return where a Reshape from `before` to `after` puts `axis`, and how often each of its places stands there.

    Several times where axes behind it are joined to it: `[N, C, H, W]` to `[N, C*H*W]`.
    """
    size = before[axis]
    assert isinstance(size, int)
    # One channel may be at any axis of size 1; where it was, it is no image of a batch.
    places = sorted(range(len(after)), key=lambda place: place != axis) if size == 1 else range(len(after))
    for place in places:
        found = after[place]
        same_before, same_behind = _as_many(before[:axis], after[:place]), _as_many(before[axis:], after[place:])
        if not (same_before or same_behind) or (found == 1 != size):
            continue
        if not isinstance(found, int):
            return Pins("reshapes them to an open size")
        if found == size:
            return place, 1
        if found % size == 0 and (place == len(after) - 1 or _joined(before[axis + 1 :], found // size)):
            return place, found // size
        return Pins("splits them into groups" if size % found == 0 else "mixes them with other axes")
    return Pins("mixes them with other axes")


def _as_many(some: Sequence[Dim], others: Sequence[Dim]) -> bool:
    """Tell whether two runs of axes hold as many elements, whatever the open sizes are."""
    left, right = ([size for size in sizes if size != 1] for sizes in (some, others))
    for size in [size for size in left if isinstance(size, str)]:
        if size not in right:
            return False
        left.remove(size)
        right.remove(size)
    if any(not isinstance(size, int) for size in (*left, *right)):
        return False
    return math.prod(left) == math.prod(right)  # type: ignore[arg-type]


def _joined(behind: Sequence[Dim], count: int) -> bool:
    """Tell whether the first of some axes hold `count` elements."""
    product = 1
    for size in behind:
        if not isinstance(size, int):
            return False
        product *= size
        if product >= count:
            break
    return product == count


def _reshape_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, before, after = node.layout(0), node.shape(0), node.output_shape()
    if layout is None:
        return Pins("reads a tensor whose channels are not known")
    if before is None or after is None:
        return Pins("reshapes them to a shape that is not known")
    target = node.constant(1)
    if target is None:
        return Pins("reshapes them to a shape that is computed")
    stated = [_stated(size, place, before, after) for place, size in enumerate(target.tolist())]
    found = reshaped_axis(before, stated, layout.axis)
    if isinstance(found, Pins):
        return found
    axis, repeats = found
    return (from_input(axis, np.repeat(np.arange(layout.ids.size), repeats)),)


def _stated(size: int, place: int, before: Sequence[Dim], after: Sequence[Dim]) -> Dim:
    """Return a size of the output: as the target of a Reshape states it, 0 for that of the input, or as inferred."""
    return before[place] if size == 0 and place < len(before) else after[place] if size < 1 else size


def _flatten_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, before, after = node.layout(0), node.shape(0), node.output_shape()
    if layout is None or before is None:
        return Pins("reads a tensor whose channels are not known")
    axis = node.integer("axis", 1)
    axis = axis + len(before) if axis < 0 else axis
    columns = None if after is None else after[1]
    if any(size != 1 for size in before[axis : layout.axis]) or layout.axis < axis:
        return Pins("mixes them with other axes")
    if not isinstance(columns, int) or columns % layout.ids.size:
        return Pins("flattens them with axes of open size")
    return (from_input(1, np.repeat(np.arange(layout.ids.size), columns // layout.ids.size)),)


def _retake_reshape(node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
    """State how many there are now."""
    del inputs
    layout, target, places = node.output_layout(), node.constant(1), outputs[0]
    assert layout is not None
    assert places is not None
    assert target is not None
    if target[layout.axis] > 0:
        sizes = target.copy()
        sizes[layout.axis] = places.size
        set_input(node.node, 1, "shape", sizes)


def _on_other_axes(node: NodeView, axis: int | None) -> tuple[Route | None, ...] | Pins:
    """Return the route that leaves the channels as they are, at `axis` of the output."""
    layout = node.layout(0)
    if layout is None:
        return Pins("reads a tensor whose channels are not known")
    return Pins("acts on the axis that counts them") if axis is None else (from_input(axis, range(layout.ids.size)),)


def _axes_of(node: NodeView, rank: int) -> list[int] | None:
    axes = node.numbers(1, "axes")
    return None if axes is None else [axis % rank for axis in axes]


def _squeeze_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, shape = node.layout(0), node.shape(0)
    if layout is None or shape is None:
        return Pins("reads a tensor whose channels are not known")
    axes = _axes_of(node, len(shape))
    if axes is None:
        if node.input(1) is not None or any(size is None or isinstance(size, str) for size in shape):
            return Pins("removes axes that are not stated")
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    return _on_other_axes(node, None if layout.axis in axes else layout.axis - sum(a < layout.axis for a in axes))


def _unsqueeze_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, rank = node.layout(0), node.rank(0)
    axes = node.numbers(1, "axes")
    if layout is None or rank is None or axes is None:
        return Pins("adds axes that are not stated")
    added = {axis % (rank + len(axes)) for axis in axes}
    left = [axis for axis in range(rank + len(axes)) if axis not in added]
    return _on_other_axes(node, left[layout.axis])


def _transpose_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, rank = node.layout(0), node.rank(0)
    if layout is None or rank is None:
        return Pins("reads a tensor whose channels are not known")
    order = node.integers("perm") or [*range(rank)][::-1]
    return _on_other_axes(node, order.index(layout.axis))


def _expand_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, rank, after = node.layout(0), node.rank(0), node.output_shape()
    if layout is None or rank is None or after is None:
        return Pins("repeats them to a shape that is not known")
    axis = layout.axis + len(after) - rank
    target = node.constant(1)
    stated = target is not None and axis - len(after) + target.size >= 0 and target[axis - len(after)] != 1
    if after[axis] != layout.ids.size or stated or target is None:
        return Pins("repeats them to a number that is stated")
    return _on_other_axes(node, axis)


def _tile_route(node: NodeView) -> tuple[Route | None, ...] | Pins:
    layout, repeats = node.layout(0), node.numbers(1)
    if layout is None or repeats is None or repeats[layout.axis] != 1:
        return Pins("repeats them")
    return _on_other_axes(node, layout.axis)


class _Sizes(ChannelRule):
    """Shape gives sizes of axes: the number of channels too, unless those are not asked for, or nobody looks at it."""

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        layout, rank = node.layout(0), node.rank(0)
        if layout is None:
            return (None,)
        if rank is None:
            return Pins("asks for the size of a tensor of unknown rank")
        asked = [*range(rank)][node.integer("start", 0) : node.integer("end", rank)]
        if layout.axis in asked and not _is_ignored(node.node.outputs[0], asked.index(layout.axis)):
            return Pins("asks for their number")
        return (None,)


def _is_ignored(sizes: ir.Value, place: int) -> bool:
    """Tell whether nothing reads the number at `place` of a vector: all that read it choose others."""
    return not sizes.is_graph_output() and all(_leaves_out(use.node, place) for use in sizes.uses())


def _leaves_out(node: ir.Node, place: int) -> bool:
    """Tell whether a reader of a vector, whose axes are counted from the front, chooses numbers other than `place`."""
    constants = [array_of(value) for value in node.inputs[1:]]
    if operator_of(node) == "Cast":
        return _is_ignored(node.outputs[0], place)
    if operator_of(node) == "Gather" and constants[0] is not None and (constants[0] >= 0).all():
        return place not in constants[0]
    if operator_of(node) == "Slice" and len(constants) < 4 and all(array is not None for array in constants):
        start, end = (int(array.reshape(-1)[0]) for array in constants[:2] if array is not None)
        return start >= 0 and end >= 0 and not start <= place < end
    return False


OPERATORS: dict[str, Operator] = {
    "Expand": Operator(
        compute=expand,
        channels=Moves(_expand_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[Tensor(shape=(2, 6, 1, 1)), np.array([1, 1, 5, 4])], since=8),
            Example(inputs=[Tensor(shape=(2, 6, 1, 1)), np.array([5, 4])], since=8),
            Example(inputs=[MAPS, np.array([2, 6, 5, 4])], since=8, pins="repeats them to a number that is stated"),
        ],
    ),
    "Flatten": Operator(
        compute=flatten,
        channels=Moves(_flatten_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS]),
            Example(inputs=[TOKENS], attributes={"axis": 2}),
            Example(inputs=[Tensor(shape=(2, 1, 6, 3), axis=2)], attributes={"axis": -3}, since=11),
            Example(inputs=[MAPS], attributes={"axis": 0}, pins="mixes them with other axes"),
        ],
    ),
    "Identity": Operator(compute=identity, channels=Elementwise(), rounding=Rounding.EXACT, examples=one_input()),
    "Reshape": Operator(
        compute=reshape,
        channels=Moves(_reshape_route, _retake_reshape),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS, np.array([0, -1])]),
            Example(inputs=[MAPS, np.array([0, 6, 20])]),
            Example(inputs=[MAPS, np.array([2, -1, 5, 2, 2])]),
            Example(inputs=[VECTORS, np.array([0, 6, 1, 1])]),
            Example(inputs=[Tensor(shape=(2, 6, 1, 1)), np.array([-1, 6])]),
            Example(inputs=[TOKENS, np.array([10, 6])]),
            Example(inputs=[MAPS, np.array([0, 2, 3, 5, 4])], pins="splits them into groups"),
            Example(inputs=[MAPS, np.array([-1, 4])], pins="mixes them with other axes"),
        ],
    ),
    "Shape": Operator(
        compute=shape,
        channels=_Sizes(),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"start": 2}, since=15),
            Example(inputs=[MAPS], pins="asks for their number"),
        ],
    ),
    "Size": Operator(
        compute=size,
        channels=ChannelRule("asks for their number"),
        rounding=Rounding.EXACT,
        examples=pinned(MAPS, reason="asks for their number"),
    ),
    "Squeeze": Operator(
        compute=squeeze,
        channels=Moves(_squeeze_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[Tensor(shape=(2, 6, 1, 1))], attributes={"axes": [2, 3]}, until=12),
            Example(inputs=[Tensor(shape=(2, 6, 1, 1)), np.array([-1, -2])], since=13),
            Example(inputs=[Tensor(shape=(1, 6, 1, 3))]),
            Example(inputs=[Tensor(shape=(1, 1, 6), axis=2), np.array([0])], since=13),
        ],
    ),
    "Tile": Operator(
        compute=tile,
        channels=Moves(_tile_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS, np.array([1, 1, 2, 3])]),
            Example(inputs=[MAPS, np.array([1, 2, 1, 1])], pins="repeats them"),
        ],
    ),
    "Transpose": Operator(
        compute=transpose,
        channels=Moves(_transpose_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"perm": [0, 2, 3, 1]}),
            Example(inputs=[TOKENS], attributes={"perm": [0, 2, 1]}),
            Example(inputs=[VECTORS]),
        ],
    ),
    "Unsqueeze": Operator(
        compute=unsqueeze,
        channels=Moves(_unsqueeze_route),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[VECTORS], attributes={"axes": [2, 3]}, until=12),
            Example(inputs=[VECTORS, np.array([-1, -2])], since=13),
            Example(inputs=[VECTORS, np.array([1])], since=13),
        ],
    ),
}
