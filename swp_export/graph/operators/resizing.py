"""Resize and Upsample: each axis by itself, as a weighted sum of a few of its elements.

How many elements come out, and which one `nearest` takes, are decisions: they are made in float32, as runtimes do, so
that a scale of 0.7 and 10 elements give 7. Weights are in float64.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import set_input
from swp_export.graph.operators.call import UnsupportedError, positive_axis
from swp_export.graph.operators.examples import MAPS
from swp_export.graph.operators.operator import Example, Operator, Rounding
from swp_export.graph.operators.rules.maps import MapWise, always, kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView, Places


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Axis:
    """One axis to resize: from `size` to `out` elements by `scale`, float32; `start` and `end` of the region."""

    number: int
    size: int
    out: int
    scale: float
    start: float
    end: float


def resize(call: Call) -> np.ndarray:
    """To scales or sizes, of all axes or of those named."""
    x = call.input(0)
    if call.opset < 11:
        return _resized(call, x, _scaled(x, range(x.ndim), call.input(1)))
    chosen = call.integers("axes") if call.opset >= 18 else None
    axes = list(range(x.ndim)) if chosen is None else [positive_axis(axis, x.ndim) for axis in chosen]
    region, scales, sizes = call.optional(1), call.optional(2), call.numbers(3)
    if scales is not None and scales.size:
        return _resized(call, x, _scaled(x, axes, scales, region))
    if sizes is None:
        raise ValueError("neither scales nor sizes")
    return _resized(call, x, _sized(call, x, axes, sizes, region))


def upsample(call: Call) -> np.ndarray:
    """To scales: an attribute before opset 9, an input from it on."""
    x = call.input(0)
    scales = np.asarray(call.attributes["scales"]) if call.opset < 9 else call.input(1)
    return _resized(call, x, _scaled(x, range(x.ndim), scales))


def _scaled(
    x: np.ndarray, axes: range | list[int], scales: np.ndarray, region: np.ndarray | None = None
) -> list[_Axis]:
    if len(scales) != len(axes):
        raise ValueError(f"{len(scales)} scales for {len(axes)} axes")
    found = []
    for index, (axis, scale) in enumerate(zip(axes, scales.astype(np.float32), strict=True)):
        out = math.floor(np.float32(x.shape[axis]) * scale)
        found.append(_axis(x, axis, out, float(scale), index, region))
    return found


def _sized(call: Call, x: np.ndarray, axes: list[int], sizes: list[int], region: np.ndarray | None) -> list[_Axis]:
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if len(sizes) != len(axes):
        raise ValueError(f"{len(sizes)} sizes for {len(axes)} axes")
    scales = [np.float32(size) / np.float32(x.shape[axis]) for size, axis in zip(sizes, axes, strict=True)]
    if policy != "stretch":
        common = min(scales) if policy == "not_larger" else max(scales)
        scales = [common] * len(axes)
        sizes = [math.floor(common * np.float32(x.shape[axis]) + np.float32(0.5)) for axis in axes]
    each = zip(axes, sizes, scales, strict=True)
    return [_axis(x, axis, out, float(scale), index, region) for index, (axis, out, scale) in enumerate(each)]


def _axis(x: np.ndarray, axis: int, out: int, scale: float, index: int, region: np.ndarray | None) -> _Axis:
    start, end = 0.0, 1.0
    if region is not None and region.size:
        start, end = float(region[index]), float(region[index + region.size // 2])
    return _Axis(number=axis, size=x.shape[axis], out=out, scale=scale, start=start, end=end)


def _resized(call: Call, x: np.ndarray, axes: list[_Axis]) -> np.ndarray:
    mode = call.text("mode", "nearest")
    if mode not in {"nearest", "linear", "cubic"}:
        raise UnsupportedError(f"mode = {mode!r}")
    crops = call.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if all(axis.out == axis.size for axis in axes) and any(axis.scale != 1 for axis in axes) and not crops:
        raise UnsupportedError("scales that change no size, on which runtimes differ; resize to a size")
    y, outside = x, np.zeros((1,) * x.ndim, bool)
    for axis in axes:
        if axis.out == axis.size and axis.scale == 1 and not crops:
            continue
        shape = [axis.out if number == axis.number else 1 for number in range(x.ndim)]
        if mode == "nearest":
            places = _nearest(call, axis)
            y = y.take(np.clip(places, 0, axis.size - 1), axis=axis.number)
        else:
            taps, weights = _antialiased(call, axis) if call.integer("antialias", 0) else _interpolated(call, axis)
            y = sum(
                y.take(tap, axis=axis.number) * weight.reshape(shape) for tap, weight in zip(taps, weights, strict=True)
            )
        if crops:
            where = _coordinates(call, axis, np.dtype(np.float32))
            outside = outside | ((where < 0) | (where > axis.size - 1)).reshape(shape)
    if outside.any():
        y = np.where(outside, call.real("extrapolation_value", 0.0), y).astype(x.dtype)
    return y if x.dtype.kind == "f" else np.trunc(y).astype(x.dtype)


def _coordinates(call: Call, axis: _Axis, dtype: np.dtype) -> np.ndarray:
    """Return for each element of the output where it lies in the input, computed in `dtype`."""
    out, scale = np.arange(axis.out, dtype=dtype), dtype.type(axis.scale)
    mode = "asymmetric" if call.opset < 11 else call.text("coordinate_transformation_mode", "half_pixel")
    half, last = dtype.type(0.5), dtype.type(axis.size - 1)
    if mode == "asymmetric":
        where = out / scale
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and axis.out > 1):
        where = (out + half) / scale - half
    elif mode == "tf_half_pixel_for_nn":
        where = (out + half) / scale
    elif mode == "pytorch_half_pixel" or (mode == "align_corners" and axis.out == 1):
        where = np.zeros_like(out)
    elif mode == "align_corners":
        where = out * last / dtype.type(axis.out - 1)
    elif mode == "half_pixel_symmetric":
        adjustment = dtype.type(axis.out) / (scale * dtype.type(axis.size))
        where = dtype.type(axis.size) / 2 * (1 - adjustment) + (out + half) / scale - half
    elif mode == "tf_crop_and_resize":
        start, end = dtype.type(axis.start), dtype.type(axis.end)
        if axis.out > 1:
            where = start * last + out * (end - start) * last / dtype.type(axis.out - 1)
        else:
            where = np.full_like(out, half * (start + end) * last)
    else:
        raise UnsupportedError(f"coordinate_transformation_mode = {mode!r}")
    return where


def _nearest(call: Call, axis: _Axis) -> np.ndarray:
    where = _coordinates(call, axis, np.dtype(np.float32))
    mode = call.text("nearest_mode", "round_prefer_floor")
    if call.opset < 11:
        mode = "ceil" if axis.scale < 1 else "floor"
    whole = np.floor(where)
    is_tie = np.abs(where - whole - 0.5) < 1e-5  # a tie that float32 missed is one, in runtimes too
    if mode == "round_prefer_floor":
        places = np.where(is_tie, whole, np.rint(where))
    elif mode == "round_prefer_ceil":
        places = np.where(is_tie, whole + 1, np.rint(where))
    elif mode == "floor":
        places = np.floor(where)
    elif mode == "ceil":
        places = np.ceil(where)
    else:
        raise UnsupportedError(f"nearest_mode = {mode!r}")
    return places.astype(np.int64)


def _interpolated(call: Call, axis: _Axis) -> tuple[np.ndarray, np.ndarray]:
    """Return the elements that each output is summed of, and their weights: both `[taps, out]`."""
    where = _coordinates(call, axis, np.dtype(np.float64))
    if call.text("mode", "nearest") == "linear":
        where = np.clip(where, 0, axis.size - 1)
        offsets = np.arange(2)
    else:
        offsets = np.arange(-1, 3)
    places = np.floor(where).astype(np.int64) + offsets[:, None]
    weights = _kernel(call, np.abs(where - places))
    return _at_edges(call, axis, places, weights)


def _antialiased(call: Call, axis: _Axis) -> tuple[np.ndarray, np.ndarray]:
    """Do the same where the kernel is widened by the factor that the axis shrinks by; weights are made to sum to 1."""
    where = _coordinates(call, axis, np.dtype(np.float64))
    widening = max(1.0, 1 / axis.scale)
    reach = math.ceil((1 if call.text("mode", "nearest") == "linear" else 2) * widening) + 1
    places = np.floor(where).astype(np.int64) + np.arange(-reach, reach + 1)[:, None]
    weights = _kernel(call, np.abs(where - places) / widening)
    return _at_edges(call, axis, places, weights / weights.sum(axis=0))


def _at_edges(call: Call, axis: _Axis, places: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places within the axis: what lies outside is the edge's element, or left out by exclude_outside."""
    if call.integer("exclude_outside", 0):
        weights = np.where((places >= 0) & (places < axis.size), weights, 0)
        weights = weights / weights.sum(axis=0)
    return np.clip(places, 0, axis.size - 1), weights


def _kernel(call: Call, distance: np.ndarray) -> np.ndarray:
    """Return the weight of an element at a `distance`: a triangle, or Keys' cubic convolution."""
    if call.text("mode", "nearest") == "linear":
        return np.maximum(1 - distance, 0)
    return cubic_kernel(distance, call.real("cubic_coeff_a", -0.75))


def cubic_kernel(distance: np.ndarray, a: float) -> np.ndarray:
    """Return Keys' cubic convolution kernel of parameter `a`."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _resized_axes(node: NodeView) -> set[int] | None:
    """Return the axes that are resized; None where that is computed, or values from outside of the map are put in."""
    if node.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return None
    before, after, axes = node.shape(0), node.output_shape(), node.integers("axes")
    if before is None:
        return None
    if axes is not None:
        return {axis % len(before) for axis in axes}
    scales = node.constant(2 if node.node.op_type == "Resize" else 1)
    if scales is not None and scales.size == len(before):
        return {axis for axis, scale in enumerate(scales.tolist()) if scale != 1}
    if node.constant(3) is None or after is None or len(after) != len(before):
        return None
    return {axis for axis, size in enumerate(before) if size is None or size != after[axis]}


def _retake_sizes(node: NodeView, places: Places) -> None:
    """State how many channels there are where the sizes of all axes are stated."""
    layout, sizes = node.layout(0), node.constant(3)
    assert layout is not None
    if sizes is not None and "axes" not in node.node.attributes:
        changed = sizes.copy()
        changed[layout.axis] = places.size
        set_input(node.node, 3, "sizes", changed)


def _stays_inside(node: NodeView) -> bool:
    """Tell whether nothing is put beside the map, as a part that is cut out of it may ask for."""
    return node.text("coordinate_transformation_mode", "") != "tf_crop_and_resize"


class _Resized(MapWise):
    """Each map is resized; where the sizes of all axes are stated, the number of channels is among them."""

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """State the number of channels."""
        del inputs
        if outputs[0] is not None:
            _retake_sizes(node, outputs[0])


_TWICE = np.array([1, 1, 2, 2], np.float32)

OPERATORS: dict[str, Operator] = {
    "Resize": Operator(
        compute=resize,
        channels=_Resized(
            _resized_axes, kept, others=2, joins="resizes the axis that counts them", linear=_stays_inside
        ),
        examples=[
            Example(inputs=[MAPS, None, _TWICE], attributes={"mode": "nearest"}, since=13),
            Example(inputs=[MAPS, None, _TWICE], attributes={"mode": "linear"}, since=13),
            Example(inputs=[MAPS, None, None, np.array([2, 6, 7, 3])], attributes={"mode": "cubic"}, since=13),
            Example(inputs=[MAPS, None, None, np.array([7, 3])], attributes={"axes": [2, 3]}, since=18),
            Example(
                inputs=[MAPS, None, np.array([1, 2, 1, 1], np.float32)],
                attributes={"mode": "nearest"},
                since=13,
                pins="resizes the axis",
            ),
        ],
    ),
    "Upsample": Operator(
        compute=upsample,
        channels=MapWise(_resized_axes, kept, joins="resizes the axis that counts them", linear=always),
        rounding=Rounding.EXACT,
        examples=[Example(inputs=[MAPS, _TWICE], since=9, until=9)],
    ),
}
