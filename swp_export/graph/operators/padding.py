"""Pad and CenterCropPad: axes filled up at their ends, or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError, positive_axis
from swp_export.graph.operators.examples import MAPS
from swp_export.graph.operators.operator import Example, Operator, Rounding
from swp_export.graph.operators.rules.maps import MapWise, zero_kept

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView
    from swp_export.graph.operators.operator import Evaluate, Known


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


def center_crop_pad(call: Call) -> np.ndarray:
    """Cut or filled up with zeros to a size, as much in front as behind; the odd one is cut or put behind."""
    x, sizes, axes = call.input(0), call.numbers(1) or [], call.integers("axes")
    places = [positive_axis(axis, x.ndim) for axis in (range(x.ndim) if axes is None else axes)]
    for axis, size in zip(places, sizes, strict=True):
        more, less = max(0, size - x.shape[axis]), max(0, x.shape[axis] - size)
        x = np.take(x, range(less // 2, x.shape[axis] - (less - less // 2)), axis=axis)
        x = np.pad(x, [(more // 2, more - more // 2) if other == axis else (0, 0) for other in range(x.ndim)])
    return x


def _padded(node: NodeView) -> set[int] | None:
    rank, pads = node.rank(0), node.numbers(1, "pads")
    axes = node.numbers(3)
    if rank is None or (pads is None and axes is None) or (axes is None and node.input(3) is not None):
        return None
    axes = [*range(rank)] if axes is None else [axis % rank for axis in axes]
    if pads is None:
        return set(axes)
    return {axis for index, axis in enumerate(axes) if pads[index] or pads[index + len(axes)]}


def _beside_padding(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Keep constants that are what is put beside them, or all where that is taken from the map itself."""
    del evaluate
    if node.text("mode", "constant") != "constant":
        return known
    value = node.constant(2)
    if value is None and node.input(2) is not None:
        return np.full(known.size, np.nan)
    filler = node.real("value", 0.0) if value is None else float(value.reshape(-1)[0])
    return np.where(known == filler, known, np.nan)


def _centered(node: NodeView) -> set[int] | None:
    rank, axes = node.rank(0), node.integers("axes")
    return None if rank is None else {axis % rank for axis in axes} if axes else {*range(rank)}


def _adds_nothing(node: NodeView) -> bool:
    """Tell whether what is put beside the map is zero, or taken from it."""
    value = node.constant(2)
    if node.text("mode", "constant") != "constant":
        return True
    if value is None:
        return node.input(2) is None and node.real("value", 0.0) == 0
    return not value.any()


_RING = np.array([0, 0, 1, 2, 0, 0, 1, 0])

OPERATORS: dict[str, Operator] = {
    "CenterCropPad": Operator(
        compute=center_crop_pad,
        channels=MapWise(_centered, zero_kept, others=1, joins="cuts or pads the axis that counts them"),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS, np.array([8, 3])], attributes={"axes": [2, 3]}, since=18),
            Example(inputs=[MAPS, np.array([4, 7])], attributes={"axes": [-2, -1]}, since=18),
            Example(inputs=[MAPS, np.array([4])], attributes={"axes": [1]}, since=18, pins="cuts or pads the axis"),
        ],
    ),
    "Pad": Operator(
        compute=pad,
        channels=MapWise(_padded, _beside_padding, joins="pads the axis that counts them", linear=_adds_nothing),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes={"pads": _RING.tolist(), "value": 0.5}, until=10),
            Example(inputs=[MAPS, _RING], since=11),
            Example(inputs=[MAPS, _RING, np.float32(0.5)], since=11),
            Example(inputs=[MAPS, _RING], attributes={"mode": "reflect"}, since=11),
            Example(inputs=[MAPS, _RING], attributes={"mode": "edge"}, since=11),
            Example(inputs=[MAPS, np.array([1, 1, -1, 1]), None, np.array([2, -1])], since=18),
            Example(inputs=[MAPS, np.array([0, 1, 0, 0, 0, 0, 0, 0])], since=11, pins="pads the axis"),
        ],
    ),
}
