"""Operators that move elements and change none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.float64.call import UnsupportedError, positive_axis

if TYPE_CHECKING:
    from swp_export.graph.float64.call import Call


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


def pad(call: Call) -> np.ndarray:
    """Return filled up at the ends of axes; negative pads cut."""
    x, mode = call.input(0), call.text("mode", "constant")
    if call.opset < 11:
        pads, value = call.integers("pads") or [], np.asarray(call.real("value", 0.0))
    else:
        stored = call.optional(2)
        pads, value = call.numbers(1) or [], np.zeros(1, x.dtype) if stored is None else stored
    axes = call.numbers(3) if call.opset >= 18 else None
    axes = list(range(x.ndim)) if axes is None else [positive_axis(axis, x.ndim) for axis in axes]
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} pads for {len(axes)} axes")
    widths = [(0, 0)] * x.ndim
    for index, axis in enumerate(axes):
        widths[axis] = (pads[index], pads[index + len(axes)])
    x = x[tuple(slice(max(0, -b), n - max(0, -e)) for (b, e), n in zip(widths, x.shape, strict=True))]
    widths = [(max(0, b), max(0, e)) for b, e in widths]
    if mode == "constant":
        return np.pad(x, widths, constant_values=value.reshape(-1)[0])
    if mode not in {"reflect", "edge", "wrap"}:
        raise UnsupportedError(f"mode = {mode!r}")
    return np.pad(x, widths, mode=mode)  # type: ignore[call-overload]  # one of three literals


def depth_to_space(call: Call) -> np.ndarray:
    """Blocks of channels become blocks of pixels."""
    x, block = call.input(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") == "DCR":
        blocks = x.reshape(n, block, block, -1, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, -1, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(call: Call) -> np.ndarray:
    """Blocks of pixels become blocks of channels."""
    x, block = call.input(0), call.integer("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") != "DCR":
        raise UnsupportedError("a mode other than DCR")
    blocks = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * block**2, h // block, w // block)


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


def _part(start: int, end: int, step: int, count: int) -> slice:
    """Return ONNX's slice of an axis of `count` elements in Python's terms; ends far outside mean all of it."""
    if step == 0:
        raise ValueError("a slice of step 0")
    start, end = (position + count if position < 0 else position for position in (start, end))
    if step > 0:
        return slice(max(0, min(start, count)), max(0, min(end, count)), step)
    start, end = max(0, min(start, count - 1)), max(-1, min(end, count - 1))
    return slice(start, None if end < 0 else end, step)
