"""Conv and ConvTranspose of any rank, as matrix products; taps without a weight are left out."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.float64.windows import windows_of

if TYPE_CHECKING:
    from swp_export.graph.float64.call import Call

COLUMNS = 1 << 20
"""Numbers that a convolution copies side by side at a time: 8 MB."""


def conv(call: Call) -> np.ndarray:
    """`x [N, C, ...]`, weight `[M, C / group, *kernel]`, bias `[M]`."""
    x, weight, bias = call.input(0), call.input(1), call.optional(2)
    windows = windows_of(call, x.shape[2:], weight.shape[2:])
    groups, filters, channels = call.integer("group", 1), *weight.shape[:2]
    if x.shape[1] != groups * channels:
        raise ValueError(f"an input of {x.shape[1]} channels, expected {groups * channels} for its weight")
    padded = windows.padded(x, 0)
    by_tap = weight.reshape(groups, filters // groups, channels, -1)
    taps = np.flatnonzero(by_tap.any(axis=(0, 1, 2)))
    kernel = list(windows.taps())
    views = [windows.seen_by(kernel[tap], padded) for tap in taps]
    y = np.zeros((x.shape[0], groups, filters // groups, math.prod(windows.positions)))
    if channels == 1:
        for tap, view in zip(taps, views, strict=True):
            y += by_tap[..., tap] * view.reshape(x.shape[0], groups, 1, -1)
    elif len(taps) == 1:
        np.matmul(by_tap[..., taps[0]], views[0].reshape(x.shape[0], groups, channels, -1), out=y)
    elif len(taps):
        _multiply(by_tap[..., taps], views, out=y.reshape(*y.shape[:3], *windows.positions))
    y = y.reshape(x.shape[0], filters, *windows.positions)
    if bias is not None:
        y += _over_maps(bias, y)
    return y


def conv_transpose(call: Call) -> np.ndarray:
    """`x [N, C, ...]`, weight `[C, M / group, *kernel]`, bias `[M]`: each input is spread over its window."""
    x, weight, bias = call.input(0), call.input(1), call.optional(2)
    groups, channels, per_group = call.integer("group", 1), *weight.shape[:2]
    size, kernel = x.shape[2:], weight.shape[2:]
    rank = len(size)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    begins, out = _transposed_geometry(call, size, kernel, strides, dilations)
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, strides, dilations, kernel, strict=True)]
    room = [max(f, b + o) for f, b, o in zip(full, begins, out, strict=True)]
    y = np.zeros((x.shape[0], groups * per_group, *room))
    by_group = weight.reshape(groups, channels // groups, per_group, *kernel)
    maps = x.reshape(x.shape[0], groups, channels // groups, -1)
    for tap in map(tuple, np.argwhere(weight.any(axis=(0, 1)))):
        spread = np.swapaxes(by_group[(..., *tap)], 1, 2) @ maps
        steps = [
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilations, size, strides, strict=True)
        ]
        y[(slice(None), slice(None), *steps)] += spread.reshape(x.shape[0], groups * per_group, *size)
    y = y[(slice(None), slice(None), *(slice(b, b + o) for b, o in zip(begins, out, strict=True)))]
    return y if bias is None else y + _over_maps(bias, y)


def col2im(call: Call) -> np.ndarray:
    """Return images `[N, C, ...]` summed of blocks `[N, C * block, positions]`, the inverse of taking windows apart."""
    x, size, block = call.input(0), call.numbers(1) or [], call.numbers(2) or []
    windows = windows_of(call, size, block)
    columns = x.reshape(x.shape[0], -1, math.prod(block), *windows.positions)
    padded = windows.padded(np.zeros((x.shape[0], columns.shape[1], *size)), 0)
    for number, tap in enumerate(windows.taps()):
        windows.seen_by(tap, padded)[...] += columns[:, :, number]
    inside = (slice(begin, begin + n) for begin, n in zip(windows.begins, size, strict=True))
    y = np.zeros((x.shape[0], columns.shape[1], *size))
    cut = padded[(slice(None), slice(None), *inside)]
    y[(slice(None), slice(None), *(slice(0, n) for n in cut.shape[2:]))] = cut  # no window may reach the end
    return y


def _multiply(by_tap: np.ndarray, views: list[np.ndarray], *, out: np.ndarray) -> None:
    """Put the products of the weight `by_tap` `[groups, M, C, taps]` with what its taps see into `out`.

    `views` holds one of `[N, groups * C, *positions]` a tap, `out` is `[N, groups, M, *positions]`. One product of all
    taps, over as many images or rows of one as fit into COLUMNS, is faster than one a tap and image.
    """
    images, groups, filters, rows, *inner = out.shape
    channels, taps = by_tap.shape[2:]
    factor = np.moveaxis(by_tap, -1, 2).reshape(groups, filters, taps * channels)
    fitting = max(1, COLUMNS // (taps * groups * channels * math.prod(inner)))
    many, high = max(1, fitting // rows), min(rows, fitting)
    for image, row in itertools.product(range(0, images, many), range(0, rows, high)):
        part = slice(image, image + many), slice(None), slice(row, row + high)
        size = (min(many, images - image), min(high, rows - row), *inner)
        columns = np.empty((groups, taps, channels, *size))
        for number, view in enumerate(views):
            columns[:, number] = np.moveaxis(view[part].reshape(size[0], groups, channels, *size[1:]), 0, 2)
        products = factor @ columns.reshape(groups, taps * channels, -1)
        out[image : image + many, :, :, row : row + high] = np.moveaxis(products.reshape(groups, filters, *size), 2, 0)


def _over_maps(bias: np.ndarray, y: np.ndarray) -> np.ndarray:
    return bias.reshape(-1, *[1] * (y.ndim - 2))


def _transposed_geometry(
    call: Call, size: tuple[int, ...], kernel: tuple[int, ...], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    """Return what is cut off in front of each axis, and the output's size."""
    rank = len(size)
    pads = call.integers("pads") or [0] * 2 * rank
    extra = call.integers("output_padding") or [0] * rank
    stated = call.integers("output_shape")
    auto_pad = call.text("auto_pad", "NOTSET")
    begins, out = [], []
    for axis in range(rank):
        natural = (size[axis] - 1) * strides[axis] + extra[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        if stated is not None or auto_pad.startswith("SAME"):
            wanted = size[axis] * strides[axis] if stated is None else stated[axis - rank]
            total = max(0, natural - wanted)
            begins.append(total // 2 if auto_pad == "SAME_UPPER" else total - total // 2)
            out.append(wanted if stated is not None else natural - total)
        else:
            begin, end = (0, 0) if auto_pad == "VALID" else (pads[axis], pads[axis + rank])
            begins.append(begin)
            out.append(natural - begin - end)
    return begins, out
