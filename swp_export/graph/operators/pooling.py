"""MaxPool, AveragePool, LpPool and the pools over whole maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError
from swp_export.graph.operators.examples import MAPS
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Rounding, Tensor
from swp_export.graph.operators.rules.maps import MapWise, always, behind_channels, zero_kept
from swp_export.graph.operators.windows import Windows, windows_of

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView
    from swp_export.graph.operators.operator import Evaluate, Known


def max_pool(call: Call) -> tuple[np.ndarray, ...]:
    """Return the largest value of each window, and where it lies in the whole tensor; padding is never the largest."""
    x = call.input(0)
    windows = _windows(call, x)
    if not windows.counts(include_pads=False).all():
        raise UnsupportedError("a window that sees padding only, of which runtimes make different numbers")
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = windows.padded(x, lowest)
    largest = np.full((*x.shape[:2], *windows.positions), lowest, x.dtype)
    if call.outputs == 1:
        for tap in windows.taps():
            np.maximum(largest, windows.seen_by(tap, padded), out=largest)
        return (largest,)
    places = windows.padded(_places(x.shape, column_major=call.integer("storage_order", 0) == 1), -1)
    index = np.full(largest.shape, -1, np.int64)
    for tap in windows.taps():
        seen, place = windows.seen_by(tap, padded), windows.seen_by(tap, places)
        better = (place >= 0) & ((index < 0) | (seen > largest))
        largest, index = np.where(better, seen, largest), np.where(better, place, index)
    return largest, index


def max_unpool(call: Call) -> np.ndarray:
    """Return zeros, with each value where MaxPool says that it came from."""
    x, places = call.input(0), call.input(1)
    if call.optional(2) is not None:
        raise UnsupportedError("an output_shape, of which the places do not say whether they count in it")
    kernel, rank = call.integers("kernel_shape") or [], x.ndim - 2
    strides, pads = call.integers("strides") or [1] * rank, call.integers("pads") or [0] * 2 * rank
    size = [
        (n - 1) * s + k - pads[axis] - pads[axis + rank]
        for axis, (n, s, k) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))
    ]
    y = np.zeros((*x.shape[:2], *size))
    y.reshape(-1)[places.reshape(-1)] = x.reshape(-1)
    return y


def average_pool(call: Call) -> np.ndarray:
    """Return the mean of each window: of what is inside the map, with count_include_pad of the padding too."""
    x = call.input(0)
    windows = _windows(call, x)
    total = np.zeros((*x.shape[:2], *windows.positions))
    padded = windows.padded(x, 0)
    for tap in windows.taps():
        total += windows.seen_by(tap, padded)
    return total / windows.counts(include_pads=call.integer("count_include_pad", 0) == 1)


def lp_pool(call: Call) -> np.ndarray:
    """Return the p-norm of each window."""
    x, p = call.input(0), call.integer("p", 2)
    windows = _windows(call, x)
    padded = windows.padded(np.abs(x) ** p, 0)
    total = np.zeros((*x.shape[:2], *windows.positions))
    for tap in windows.taps():
        total += windows.seen_by(tap, padded)
    return total ** (1 / p)


def global_average_pool(call: Call) -> np.ndarray:
    """Return the mean of each map."""
    x = call.input(0)
    return x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)


def global_max_pool(call: Call) -> np.ndarray:
    """Return the largest value of each map."""
    x = call.input(0)
    return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


def global_lp_pool(call: Call) -> np.ndarray:
    """Return the p-norm of each map."""
    x, p = call.input(0), call.integer("p", 2)
    total: np.ndarray = (np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True)
    return total ** (1 / p)


def _windows(call: Call, x: np.ndarray) -> Windows:
    windows = windows_of(call, x.shape[2:], call.integers("kernel_shape") or [])
    if call.text("auto_pad", "NOTSET").startswith("SAME"):
        for size, kernel, stride, count in zip(
            windows.size, windows.kernel, windows.strides, windows.positions, strict=True
        ):
            if (count - 1) * stride + kernel < size:
                raise UnsupportedError("auto_pad that would cut the input, on which runtimes differ; state the pads")
    return windows


def _places(shape: tuple[int, ...], *, column_major: bool) -> np.ndarray:
    """Return for each element its index in the whole tensor; `column_major` counts the spatial axes from the first."""
    size, maps = shape[2:], shape[0] * shape[1]
    within = np.arange(int(np.prod(size))).reshape(size, order="F" if column_major else "C")
    offsets = np.arange(maps).reshape(*shape[:2], *[1] * len(size)) * within.size
    return offsets + within


def _mean_of_constants(node: NodeView, known: Known, evaluate: Evaluate) -> Known:
    """Keep constants; of a mean that counts zeros where its window leaves the map, only zero."""
    leaves_map = (
        any(node.integers("pads") or [])
        or node.text("auto_pad", "NOTSET").startswith("SAME")
        or node.integer("ceil_mode", 0) == 1
    )
    counts_padding = node.integer("count_include_pad", 0) == 1
    return zero_kept(node, known, evaluate) if leaves_map and counts_padding else known


_SQUARE = {"kernel_shape": [2, 2]}
_PADDED = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}

OPERATORS: dict[str, Operator] = {
    "AveragePool": Operator(
        compute=average_pool,
        channels=MapWise(behind_channels, _mean_of_constants, linear=always),
        examples=[
            Example(inputs=[MAPS], attributes=_SQUARE),
            Example(inputs=[MAPS], attributes=_PADDED),
            Example(inputs=[MAPS], attributes={**_PADDED, "count_include_pad": 1}),
        ],
    ),
    "GlobalAveragePool": Operator(
        compute=global_average_pool, channels=MapWise(linear=always), examples=[Example(inputs=[MAPS])]
    ),
    "GlobalLpPool": Operator(
        compute=global_lp_pool,
        channels=MapWise(behind_channels, zero_kept),
        examples=[Example(inputs=[MAPS])],
    ),
    "GlobalMaxPool": Operator(
        compute=global_max_pool, channels=MapWise(), rounding=Rounding.EXACT, examples=[Example(inputs=[MAPS])]
    ),
    "LpPool": Operator(
        compute=lp_pool,
        channels=MapWise(behind_channels, zero_kept),
        examples=[Example(inputs=[MAPS], attributes=_SQUARE)],
    ),
    "MaxPool": Operator(
        compute=max_pool,
        channels=MapWise(),
        rounding=Rounding.EXACT,
        examples=[
            Example(inputs=[MAPS], attributes=_SQUARE),
            Example(inputs=[MAPS], attributes=_PADDED),
            Example(inputs=[MAPS], attributes=_SQUARE, outputs=2, since=8, pins="gives more than one output"),
        ],
    ),
    "MaxUnpool": Operator(
        compute=max_unpool,
        channels=ChannelRule("puts them at places of the whole tensor"),
        rounding=Rounding.EXACT,
        examples=[
            Example(
                inputs=[Tensor(shape=(1, 6, 1, 1)), np.arange(0, 24, 4).reshape(1, 6, 1, 1)],
                attributes={"kernel_shape": [2, 2], "strides": [2, 2]},
                since=9,
                pins="puts them at places",
            )
        ],
    ),
}
