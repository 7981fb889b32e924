"""Conv and ConvTranspose of any rank, as matrix products; taps without a weight are left out."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, pinned
from swp_export.graph.operators.node_view import Pins, shape_of
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Tensor
from swp_export.graph.operators.rules.weighted import Weighted
from swp_export.graph.operators.seen_taps import seen_taps, taps_of_conv, taps_of_transposed
from swp_export.graph.operators.weights import Weights, floats_of, has_input, put_bias, put_weight
from swp_export.graph.operators.windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import Dim

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
    images, groups, _, rows, *inner = out.shape
    live = np.flatnonzero(by_tap.any(axis=(0, 2, 3)))  # of a network to prune many are not, and out holds zeros
    channels, taps = by_tap.shape[2:]
    factor = np.moveaxis(by_tap[:, live], -1, 2).reshape(groups, live.size, taps * channels)
    fitting = max(1, COLUMNS // (taps * groups * channels * math.prod(inner)))
    many, high = max(1, fitting // rows), min(rows, fitting)
    for image, row in itertools.product(range(0, images, many), range(0, rows, high)):
        part = slice(image, image + many), slice(None), slice(row, row + high)
        size = (min(many, images - image), min(high, rows - row), *inner)
        columns = np.empty((groups, taps, channels, *size))
        for number, view in enumerate(views):
            columns[:, number] = np.moveaxis(view[part].reshape(size[0], groups, channels, *size[1:]), 0, 2)
        products = factor @ columns.reshape(groups, taps * channels, -1)
        found = np.moveaxis(products.reshape(groups, live.size, *size), 2, 0)
        out[image : image + many, :, live, row : row + high] = found


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


def _read_conv(node: ir.Node) -> Weights | Pins:
    weight, bias, group = floats_of(node, 1), floats_of(node, 2), _integer(node, "group", 1)
    if weight is None or (bias is None and has_input(node, 2)):
        return Pins("computes its weight or bias")
    if _pads_by_name(node) or weight.ndim < 3:
        return Pins("pads by name")
    kernel = weight.shape[2:]
    strides, dilations, pads = _geometry(node, len(kernel))
    if min(pads) < 0:
        return Pins("has negative pads")
    sizes = _map_sizes(node)
    return Weights(
        weight=weight,
        bias=bias,
        group=group,
        padded=taps_that_see_padding(kernel, pads, dilations),
        seen=None if sizes is None else seen_taps(taps_of_conv, sizes, kernel, strides, dilations, pads),
        in_place=max(kernel) == 1 and max(pads) == 0,
    )


def _write_conv(node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int) -> None:
    put_weight(node, weight)
    put_bias(node, bias)
    _state_group(node, group)


def _read_transposed(node: ir.Node) -> Weights | Pins:
    weight, bias, group = floats_of(node, 1), floats_of(node, 2), _integer(node, "group", 1)
    if weight is None or (bias is None and has_input(node, 2)):
        return Pins("computes its weight or bias")
    # Each output position sees the taps of one phase only, fewer of them at borders: no map of constants is one.
    kernel, sizes = weight.shape[2:], _map_sizes(node)
    strides, dilations, pads = _geometry(node, len(kernel))
    is_plain = not _pads_by_name(node) and not {"output_shape", "output_padding"} & set(node.attributes)
    told = is_plain and sizes is not None and min(pads) >= 0
    return Weights(
        weight=_filters_first(weight, group),
        bias=bias,
        group=group,
        padded=np.ones(kernel, bool),
        seen=seen_taps(taps_of_transposed, sizes, kernel, strides, dilations, pads) if told and sizes else None,
    )


def _write_transposed(node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int) -> None:
    put_weight(node, _channels_first(weight, group))
    put_bias(node, bias)
    _state_group(node, group)


def _filters_first(stored: np.ndarray, group: int) -> np.ndarray:
    """Return `[C, N / group, *kernel]` as `[N, C / group, *kernel]`."""
    grouped = stored.reshape(group, -1, *stored.shape[1:]).swapaxes(1, 2)
    return grouped.reshape(-1, *grouped.shape[2:])


def _channels_first(weight: np.ndarray, group: int) -> np.ndarray:
    """Return `[N, C / group, *kernel]` as `[C, N / group, *kernel]`: the same exchange."""
    return _filters_first(weight, group)


def taps_that_see_padding(kernel: Sequence[int], pads: Sequence[int], dilations: Sequence[int]) -> np.ndarray:
    """Return bool `[*kernel]`: the taps that read zero padding for some output position, at some input size.

    Tap i reads position `s*t + d*i - begin`. That is never before the first position iff `d*i >= begin`, and never
    after the last iff `d*(K-1-i) >= end`, whatever the size and the stride.
    """
    sees = np.zeros(tuple(kernel), bool)
    for axis, size in enumerate(kernel):
        offsets = dilations[axis] * np.arange(size)
        here = (offsets < pads[axis]) | (offsets[::-1] < pads[axis + len(kernel)])
        sees |= here.reshape([-1 if a == axis else 1 for a in range(len(kernel))])
    return sees


def _geometry(node: ir.Node, rank: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return strides, dilations and pads."""
    strides, dilations = (_integers(node, name, rank * [1]) for name in ("strides", "dilations"))
    return strides, dilations, _integers(node, "pads", 2 * rank * [0])


def _map_sizes(node: ir.Node) -> Sequence[Dim] | None:
    """Return the sizes of the map's axes; None where even their number is not known."""
    shape = shape_of(node.inputs[0])
    return None if shape is None or len(shape) < 3 else shape[2:]


def _pads_by_name(node: ir.Node) -> bool:
    name = node.attributes.get("auto_pad")
    return name is not None and name.as_string() != "NOTSET"


def _integer(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _integers(node: ir.Node, name: str, default: Sequence[int]) -> Sequence[int]:
    return node.attributes[name].as_ints() if name in node.attributes else default


def _state_group(node: ir.Node, group: int) -> None:
    if _integer(node, "group", 1) != group:
        node.attributes["group"] = ir.AttrInt64("group", group)


def _products(weight: Sequence[int], x: Sequence[int], y: Sequence[int]) -> int:
    """Each element of the output sums over the channels of a group and the taps."""
    del x
    return 2 * math.prod(y) * math.prod(weight[1:])


def _products_transposed(weight: Sequence[int], x: Sequence[int], y: Sequence[int]) -> int:
    """Each element of the input is spread over the filters of a group and the taps."""
    del y
    return 2 * math.prod(x) * math.prod(weight[1:])


def _weight(*shape: int) -> np.ndarray:
    """Return numbers that differ, with zeros among them: a dead filter, and a channel that nothing reads."""
    weight = np.sin(np.arange(math.prod(shape), dtype=np.float32) + 1).reshape(shape)
    weight[1] = 0
    weight[:, shape[1] // 2] = 0
    return weight


OPERATORS: dict[str, Operator] = {
    "Col2Im": Operator(
        compute=col2im,
        channels=ChannelRule("makes one map of several of them"),
        examples=pinned(Tensor(shape=(1, 8, 4)), np.array([3, 3]), np.array([2, 2]), reason="makes one map", since=18),
    ),
    "Conv": Operator(
        compute=conv,
        channels=Weighted(_read_conv, _write_conv),
        flops=_products,
        examples=[
            Example(inputs=[MAPS, _weight(4, 6, 3, 2), PER_CHANNEL[:4]], attributes={"pads": [1, 0, 1, 1]}),
            Example(inputs=[MAPS, _weight(4, 6, 3, 3)], attributes={"strides": [2, 2], "dilations": [1, 1]}),
            Example(inputs=[Tensor(shape=(2, 6, 9)), _weight(4, 6, 3), PER_CHANNEL[:4]]),
            Example(inputs=[Tensor(shape=(1, 6, 3, 4, 5)), _weight(4, 6, 2, 2, 2)]),
            Example(inputs=[MAPS, _weight(4, 3, 3, 3), PER_CHANNEL[:4]], attributes={"group": 2}),
            Example(inputs=[MAPS, _weight(6, 1, 3, 3), PER_CHANNEL], attributes={"group": 6, "pads": [1, 1, 1, 1]}),
            Example(inputs=[MAPS, _weight(12, 1, 3, 3)], attributes={"group": 6}),
            Example(inputs=[MAPS, _weight(4, 6, 3, 3)], attributes={"auto_pad": "SAME_UPPER"}, pins="pads by name"),
            Example(inputs=[MAPS, Tensor(shape=(4, 6, 3, 3), axis=None)], pins="computes its weight"),
        ],
    ),
    "ConvTranspose": Operator(
        compute=conv_transpose,
        channels=Weighted(_read_transposed, _write_transposed),
        flops=_products_transposed,
        examples=[
            Example(inputs=[MAPS, _weight(6, 4, 2, 2), PER_CHANNEL[:4]], attributes={"strides": [2, 2]}),
            Example(inputs=[MAPS, _weight(6, 4, 3, 3)], attributes={"pads": [1, 1, 0, 1]}),
            Example(inputs=[MAPS, _weight(6, 2, 3, 3), PER_CHANNEL[:4]], attributes={"group": 2}),
            Example(inputs=[MAPS, _weight(6, 1, 2, 2)], attributes={"group": 6, "strides": [2, 2]}),
            Example(inputs=[Tensor(shape=(2, 6, 9)), _weight(6, 4, 3), PER_CHANNEL[:4]]),
        ],
    ),
}
