"""GridSample and RoiAlign: values between the elements of a map."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.examples import MAPS
from swp_export.graph.operators.operator import Example, Operator, Tensor
from swp_export.graph.operators.resizing import cubic_kernel
from swp_export.graph.operators.rules.maps import MapWise, behind_channels, zero_kept

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView


def grid_sample(call: Call) -> np.ndarray:
    """`x [N, C, *size]` at the places `grid [N, *out, rank]`, whose coordinates from -1 to 1 go last axis first."""
    x, grid = call.input(0), call.input(1)
    mode, padding = call.text("mode", "linear"), call.text("padding_mode", "zeros")
    reach = {"nearest": (0, 0), "bilinear": (0, 1), "linear": (0, 1), "bicubic": (-1, 2), "cubic": (-1, 2)}.get(mode)
    if reach is None or padding not in {"zeros", "border", "reflection"}:
        raise UnsupportedError(f"mode = {mode!r} and padding_mode = {padding!r}")
    aligned = bool(call.integer("align_corners", 0))
    size, rank = x.shape[2:], x.ndim - 2
    where = [_in_pixels(grid[..., rank - 1 - axis], size[axis], aligned=aligned) for axis in range(rank)]
    if reach != (-1, 2):  # a cubic's place may lie outside, its elements are brought back one by one
        where = [_brought_back(w, n, padding, aligned=aligned) for w, n in zip(where, size, strict=True)]
    base = [np.rint(w) if reach == (0, 0) else np.floor(w) for w in where]
    y = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]))
    for offsets in itertools.product(range(reach[0], reach[1] + 1), repeat=rank):
        weight, places = np.ones(grid.shape[:-1]), []
        for axis, offset in enumerate(offsets):
            place = base[axis] + offset
            weight = weight * _weight(mode, np.abs(where[axis] - place))
            place = _brought_back(place, size[axis], padding, aligned=aligned)
            weight = weight * ((place >= 0) & (place <= size[axis] - 1))
            places.append(np.clip(np.rint(place), 0, size[axis] - 1).astype(np.int64))
        batch = np.arange(x.shape[0]).reshape(-1, *[1] * rank)
        y += np.moveaxis(x[(batch, slice(None), *places)], -1, 1) * weight[:, None]
    return y


def roi_align(call: Call) -> np.ndarray:
    """Return the mean of samples in each cell of each region, `[regions, C, height, width]`."""
    x, regions, batch = call.input(0), call.input(1), call.input(2)
    if call.text("mode", "avg") != "avg":
        raise UnsupportedError("a mode other than avg")
    out = (call.integer("output_height", 1), call.integer("output_width", 1))
    half_pixel = call.opset >= 16 and call.text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    y = np.zeros((len(regions), x.shape[1], *out))
    for number, (x0, y0, x1, y1) in enumerate(regions * call.real("spatial_scale", 1.0) - (0.5 if half_pixel else 0)):
        sides = [
            _samples(begin, end, cells, call.integer("sampling_ratio", 0), at_least_one=not half_pixel)
            for begin, end, cells in ((y0, y1, out[0]), (x0, x1, out[1]))
        ]
        rows, columns = (_cell_weights(side, size) for side, size in zip(sides, x.shape[2:], strict=True))
        y[number] = rows @ x[int(batch[number])] @ columns.T
    return y


def _in_pixels(coordinate: np.ndarray, size: int, *, aligned: bool) -> np.ndarray:
    return (coordinate + 1) / 2 * (size - 1) if aligned else ((coordinate + 1) * size - 1) / 2


def _brought_back(place: np.ndarray, size: int, padding: str, *, aligned: bool) -> np.ndarray:
    """Return `place` moved into the map by clamping or reflection; with zeros it stays."""
    if padding == "zeros":
        return place
    if padding == "border":
        return np.clip(place, 0, size - 1)
    low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
    if high == low:
        return np.zeros_like(place)
    span = high - low
    over = np.mod(place - low, 2 * span)
    return np.clip(low + np.where(over > span, 2 * span - over, over), 0, size - 1)


def _weight(mode: str, distance: np.ndarray) -> np.ndarray:
    if mode == "nearest":
        return np.ones_like(distance)
    return cubic_kernel(distance, -0.75) if "cubic" in mode else np.maximum(1 - distance, 0)


def _samples(begin: float, end: float, cells: int, ratio: int, *, at_least_one: bool) -> np.ndarray:
    """Return where a side of a region is sampled, `[cells, samples]`."""
    length = max(end - begin, 1.0) if at_least_one else end - begin
    count = ratio if ratio > 0 else math.ceil(length / cells)
    within = (np.arange(count) + 0.5) / max(count, 1)
    return np.asarray(begin + (np.arange(cells)[:, None] + within) * length / cells)


def _cell_weights(samples: np.ndarray, size: int) -> np.ndarray:
    """Return `[cells, size]`: how much each element of a side counts in each cell's mean."""
    outside = (samples < -1) | (samples > size)
    samples = np.clip(samples, 0, size - 1)
    weights = np.maximum(1 - np.abs(samples[..., None] - np.arange(size)), 0)
    total: np.ndarray = np.where(outside[..., None], 0, weights).sum(axis=1)
    return total / max(samples.shape[1], 1)


def _all_but_channels(node: NodeView) -> set[int] | None:
    rank = node.rank(0)
    return None if rank is None else {*range(rank)} - {1}


_GRID = np.linspace(-0.9, 0.9, 24, dtype=np.float32).reshape(2, 2, 6)[..., :6].reshape(2, 2, 3, 2)

OPERATORS: dict[str, Operator] = {
    "GridSample": Operator(
        compute=grid_sample,
        channels=MapWise(behind_channels, zero_kept, others=1),
        examples=[
            Example(inputs=[MAPS, _GRID], since=16),
            Example(
                inputs=[MAPS, Tensor(shape=(2, 2, 3, 2), axis=None)], attributes={"padding_mode": "border"}, since=16
            ),
        ],
    ),
    "RoiAlign": Operator(
        compute=roi_align,
        channels=MapWise(_all_but_channels, zero_kept, others=2),
        examples=[
            Example(inputs=[MAPS, np.array([[0, 0, 3, 3], [1, 0, 2, 2]], np.float32), np.array([0, 1])], since=10)
        ],
    ),
}
