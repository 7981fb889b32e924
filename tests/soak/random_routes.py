"""Random ONNX files whose channels take many ways between convolutions with dead filters.

What `random_models` does for the networks of ten years, this does for the operators that channels are followed through:
splits, slices and gathers, shuffles, products and joins with constants and with other maps, transposed, grouped and
depthwise convolutions, stretches in NHWC, borders of all kinds, gates. Branches run beside each other and meet again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .random_models import (
    OPSETS,
    RandomModel,
    Writer,
    activation,
    batch_norm,
    bordered,
    conv,
    halves,
    linear,
    masked,
    residual,
    scaled,
    squeeze_and_excite,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Block = Callable[[Writer, str, int], tuple[str, int]]

MOST_CHANNELS = 40


def routed_model(seed: int) -> RandomModel:
    """Return the model of `seed`, of a random opset."""
    rng = np.random.default_rng([seed, 11])
    writer = Writer(int(rng.choice(OPSETS)), rng)
    height = 2 * int(rng.integers(4, 9))
    shape = (int(rng.choice([1, 3, 4])), height, height + 2 * int(rng.integers(0, 2)))
    x, channels = layer(writer, "x", shape[0])
    between = []
    for _ in range(int(rng.integers(1, 6))):
        x, channels = block(writer, x, channels)
        between.append((x, channels))
    ranks = dict([_head(writer, x, channels)])
    other, others = between[rng.integers(len(between))]
    if rng.random() < 0.3:
        ranks |= dict([(other, 4) if rng.random() < 0.3 else _head(writer, other, others)])
    fixed = bool(rng.random() < 0.5)
    batch = 1 if fixed and rng.random() < 0.5 else None
    sizes = [batch or "N", shape[0], *(shape[1:] if fixed else ("H", "W"))]
    proto = writer.model(sizes, [*ranks], ranks)
    return RandomModel(seed=seed, proto=proto, input_shape=shape, batch=batch, resizable=not fixed)


def block(writer: Writer, x: str, channels: int, *, keeps: bool = False) -> tuple[str, int]:
    """Add any block; `keeps`: one that keeps height and width."""
    choices = KEEPING if keeps or writer.rng.random() < 0.85 else RESIZING
    if channels > MOST_CHANNELS:
        return layer(writer, x, channels)
    return choices[writer.rng.integers(len(choices))](writer, x, channels)


def layer(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a convolution with dead filters, perhaps a normalisation, an activation."""
    filters = int(writer.rng.choice([1, 4, 6, 8, 12, 16]))
    y = conv(writer, x, channels, filters)
    if writer.rng.random() < 0.5:
        y = batch_norm(writer, y, filters)
    return activation(writer, y, filters), filters


def depthwise(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a depthwise convolution with dead filters of its own, perhaps several for a channel."""
    rng, many = writer.rng, int(writer.rng.choice([1, 1, 2]))
    size = int(rng.choice([1, 3, 3, 5]))
    weight = masked(rng, channels * many, 1, (size, size))
    inputs = [x, writer.constant(weight)]
    if rng.random() < 0.5:
        inputs.append(writer.constant(rng.normal(0, 0.3, channels * many)))
    y = writer.node("Conv", inputs, group=channels, pads=[size // 2] * 4)
    if rng.random() < 0.5:
        y = batch_norm(writer, y, channels * many)
    return activation(writer, y, channels * many), channels * many


def grouped(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a convolution of any number of groups."""
    rng = writer.rng
    groups = _divisor(rng, channels)
    filters = groups * int(rng.integers(1, 5))
    size = int(rng.choice([1, 3]))
    weight = masked(rng, filters, channels // groups, (size, size))
    bias = [writer.constant(rng.normal(0, 0.3, filters))] if rng.random() < 0.5 else []
    y = writer.node("Conv", [x, writer.constant(weight), *bias], group=groups, pads=[size // 2] * 4)
    return activation(writer, y, filters), filters


def same_transposed(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a ConvTranspose that keeps the size."""
    rng = writer.rng
    groups = int(rng.choice([1, 1, 1, _divisor(rng, channels)]))
    filters = int(rng.choice([2, 4, 8]))
    weight = masked(rng, filters, channels, (3, 3)).transpose(1, 0, 2, 3)
    bias = [writer.constant(rng.normal(0, 0.3, filters * groups))] if rng.random() < 0.5 else []
    y = writer.node("ConvTranspose", [x, writer.constant(weight), *bias], group=groups, pads=[1, 1, 1, 1])
    return activation(writer, y, filters * groups), filters * groups


def with_constants(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add an operator with a constant for each channel or one for all, some exactly zero or one."""
    rng = writer.rng
    shape = [(channels, 1, 1), (1, channels, 1, 1), (1,), ()][rng.integers(4)]
    values = rng.choice([0.0, 1.0, 0.3, -0.7, 1.7], size=shape)
    op = str(rng.choice(["PRelu", "Add", "Mul", "Sub", "Max", "Min", "Div", "Pow", "Where", "Sum", "Mean"]))
    constant = writer.constant(values)
    if op == "PRelu" and shape in {(1, channels, 1, 1), ()}:
        constant = writer.constant(values.reshape(-1, *[1] * (2 * (values.size > 1))))
    if op == "Pow":
        x = writer.node("Abs", [x])
        constant = writer.constant(rng.choice([0.0, 1.0, 2.0, 0.5], size=shape))
    if op == "Div":
        divisor = writer.constant(rng.choice([0.5, 1.0, -3.0], size=shape))
        return writer.node("Div", [x, divisor]), channels
    if op == "Where":
        switch = writer.node("Greater" if rng.random() < 0.5 else "Less", [x, constant])
        return writer.node("Where", [switch, x, constant] if rng.random() < 0.5 else [switch, constant, x]), channels
    turned = op in {"Add", "Mul", "Sub", "Max", "Min"} and rng.random() < 0.3
    return writer.node(op, [constant, x] if turned else [x, constant]), channels


def functions(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add functions that turn zero into something else, or have a limited range."""
    op = str(writer.rng.choice(["Exp", "Log", "Sqrt", "Reciprocal", "Softsign", "Erf", "Neg", "Abs"]))
    if op in {"Log", "Sqrt", "Reciprocal"}:
        positive = writer.node("Add", [writer.node("Softplus", [x]), writer.constant(0.5)])
        return writer.node(op, [positive]), channels
    if op == "Exp":
        return writer.node(op, [writer.node("Tanh", [x])]), channels
    return writer.node(op, [x]), channels


def branches(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add two or three branches and what joins them: a sum, product, extreme, choice, or a concatenation."""
    rng = writer.rng
    parts = [(x, channels)] if rng.random() < 0.4 else []
    while len(parts) < 2 or (len(parts) < 3 and rng.random() < 0.3):
        part = x, channels
        for _ in range(int(rng.integers(1, 3))):
            part = block(writer, *part, keeps=True)
        parts.append(part)
    if rng.random() < 0.4:
        rng.shuffle(parts)
        parts = [(str(name), int(count)) for name, count in parts]
        return writer.node("Concat", [name for name, _ in parts], axis=1), sum(count for _, count in parts)
    width = parts[0][1]
    names = [
        name if count == width and rng.random() < 0.5 else conv(writer, name, count, int(rng.choice([width, width, 1])))
        for name, count in parts[1:]
    ]
    op = str(rng.choice(["Add", "Mul", "Sub", "Max", "Min", "Sum", "Mean", "Where", "Div"]))
    first = parts[0][0]
    if op in {"Max", "Min", "Sum", "Mean"}:
        return writer.node(op, [first, *names]), width
    for name in names:
        if op == "Where":
            first = writer.node("Where", [writer.node("Greater", [first, name]), first, name])
        elif op == "Div":
            divisor = writer.node("Add", [writer.node("Abs", [name]), writer.constant(0.5)])
            first = writer.node("Div", [first, divisor])
        else:
            first = writer.node(op, [first, name])
    return first, width


def shuffled(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Shuffle the channels between groups, as ShuffleNet does."""
    groups = _divisor(writer.rng, channels)
    y = writer.node("Reshape", [x, writer.constant([0, groups, channels // groups, -1])])
    y = writer.node("Transpose", [y], perm=[0, 2, 1, 3])
    return writer.node("Reshape", [y, writer.node("Shape", [x])]), channels


def shuffle_unit(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add ShuffleNet's unit: one half stays, the other goes through 1x1, depthwise and 1x1."""
    if channels % 2:
        return layer(writer, x, channels)
    half = channels // 2
    left, right = writer.split(x, [half, half])
    right = writer.node("Relu", [conv(writer, right, half, half, size=1)])
    right, many = depthwise(writer, right, half)
    right = writer.node("Relu", [conv(writer, right, many, half, size=1)])
    return shuffled(writer, writer.node("Concat", [left, right], axis=1), channels)


def parts_kept(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add YOLO's block: the last half goes on, and all that it was is kept."""
    if channels < 2:
        return layer(writer, x, channels)
    sizes = [channels // 2, channels - channels // 2]
    parts = writer.split(x, sizes)
    last, width = parts[-1], sizes[-1]
    for _ in range(int(writer.rng.integers(1, 3))):
        y = activation(writer, conv(writer, last, width, width), width)
        last = writer.node("Add", [last, y]) if writer.rng.random() < 0.6 else y
        parts.append(last)
    return writer.node("Concat", parts, axis=1), channels + width * (len(parts) - 2)


def picked(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Take some channels: by a Slice with a step, backwards, or a Gather that repeats some."""
    rng = writer.rng
    if rng.random() < 0.5 and writer.opset >= 10:
        backwards = rng.random() < 0.5
        bounds = (-1, -9999, 1, -1) if backwards else (0, 9999, 1, 2)
        y = writer.node("Slice", [x, *(writer.constant([bound]) for bound in bounds)])
        return y, channels if backwards else (channels + 1) // 2
    count = int(rng.integers(1, channels + 3))
    low = -channels if writer.opset >= 11 else 0
    return writer.node("Gather", [x, writer.constant(rng.integers(low, channels, count))], axis=1), count


def more_channels(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add channels of zeros or of a number by Pad, as the shortcuts of small ResNets do, or take the first away."""
    rng = writer.rng
    pads = [0, int(rng.integers(0, 4)), 0, 0, 0, int(rng.integers(0, 4)), 0, 0]
    value = float(rng.choice([0.0, 0.0, 0.5]))
    if writer.opset < 11:
        y = writer.node("Pad", [x], pads=pads, mode="constant", value=value)
    else:
        y = writer.node("Pad", [x, writer.constant(pads), writer.constant(value)], mode="constant")
    return y, channels + pads[1] + pads[5]


def normalised(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Normalise: each channel by itself, groups of them, or all at each place."""
    rng = writer.rng
    gamma, beta = rng.normal(1, 0.3, channels), rng.normal(0, 0.3, channels)
    kind = rng.choice(["instance", "group", "layer", "length"])
    if kind == "instance":
        return writer.node("InstanceNormalization", [x, *map(writer.constant, (gamma, beta))]), channels
    if kind == "group":  # as PyTorch exports it
        groups = _divisor(rng, channels)
        y = writer.node("Reshape", [x, writer.constant([0, groups, -1])])
        y = writer.node("InstanceNormalization", [y, writer.constant([1.0] * groups), writer.constant([0.0] * groups)])
        y = writer.node("Reshape", [y, writer.node("Shape", [x])])
        y = writer.node("Mul", [y, writer.constant(gamma.reshape(-1, 1, 1))])
        return writer.node("Add", [y, writer.constant(beta.reshape(-1, 1, 1))]), channels
    if kind == "layer" and writer.opset >= 17:
        y = writer.node("Transpose", [x], perm=[0, 2, 3, 1])
        y = writer.node("LayerNormalization", [y, *map(writer.constant, (gamma, beta))], axis=-1, epsilon=1e-3)
        return writer.node("Transpose", [y], perm=[0, 3, 1, 2]), channels
    squares = writer.with_axes("ReduceMean", writer.node("Mul", [x, x]), [1], 18)
    root = writer.node("Sqrt", [writer.node("Add", [squares, writer.constant(0.1)])])
    return writer.node("Div", [x, root]), channels


def gated(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Gate the channels by Gemm, with Reshape or Unsqueeze, perhaps expanded; or places by means over channels."""
    rng, narrow = writer.rng, max(1, channels // 2)
    if rng.random() < 0.3:
        pooled = [writer.with_axes("ReduceMean", x, [1], 18), writer.with_axes("ReduceMax", x, [1], 18)]
        y = conv(writer, writer.node("Concat", pooled, axis=1), 2, 1)
        return writer.node("Mul", [x, writer.node("Sigmoid", [y])]), channels
    pooled = writer.node("GlobalAveragePool", [x])
    flat = writer.node("Flatten", [pooled]) if rng.random() < 0.5 else writer.with_axes("Squeeze", pooled, [2, 3], 13)
    y = writer.node("Relu", [linear(writer, flat, channels, narrow)])
    y = writer.node(str(rng.choice(["Sigmoid", "HardSigmoid"])), [linear(writer, y, narrow, channels)])
    if rng.random() < 0.5:
        gate = writer.node(
            "Reshape", [y, writer.constant([[0, channels, 1, 1], [-1, channels, 1, 1]][rng.integers(2)])]
        )
    else:
        gate = writer.with_axes("Unsqueeze", y, [2, 3], 13)
    if rng.random() < 0.3:
        gate = writer.node("Expand", [gate, writer.node("Shape", [x])])
    return writer.node("Mul", [x, gate] if rng.random() < 0.5 else [gate, x]), channels


def linear_units(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a gated linear unit: one half times the sigmoid of the other."""
    if channels % 2:
        return layer(writer, x, channels)
    left, right = writer.split(x, [channels // 2] * 2)
    return writer.node("Mul", [left, writer.node("Sigmoid", [right])]), channels // 2


def channels_last(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a stretch in NHWC: constants along the last axis, matrix products as 1x1 convolutions, halves."""
    rng = writer.rng
    y = writer.node("Transpose", [x], perm=[0, 2, 3, 1])
    for _ in range(int(rng.integers(1, 4))):
        kind = rng.integers(4)
        if kind == 0:
            filters = int(rng.choice([2, 4, 8]))
            weight = masked(rng, filters, channels, (1, 1)).reshape(filters, channels).T
            y, channels = writer.node("MatMul", [y, writer.constant(weight)]), filters
        elif kind == 1:
            op = str(rng.choice(["Add", "Mul", "Sub"]))
            y = writer.node(op, [y, writer.constant(rng.normal(size=channels) * (rng.random(channels) < 0.8))])
        elif kind == 2:
            y = writer.node(str(rng.choice(["Relu", "Sigmoid", "Softplus"])), [y])
        elif channels > 1:
            first = int(rng.integers(1, channels))
            parts = [writer.cut(y, 3, first, channels), writer.cut(y, 3, 0, first)]
            y = writer.node("Concat", parts, axis=int(rng.choice([3, -1])) if writer.opset >= 11 else 3)
    return writer.node("Transpose", [y], perm=[0, 3, 1, 2]), channels


def along_a_row(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a Conv1d over all places in a row, or over the channels themselves as ECA does."""
    rng = writer.rng
    if rng.random() < 0.3:
        pooled = writer.with_axes("Squeeze", writer.node("GlobalAveragePool", [x]), [3], 13)
        row = writer.node("Transpose", [pooled], perm=[0, 2, 1])
        y = writer.node("Conv", [row, writer.constant(rng.normal(size=(1, 1, 3)))], pads=[1, 1])
        y = writer.node("Sigmoid", [writer.node("Transpose", [y], perm=[0, 2, 1])])
        return writer.node("Mul", [x, writer.with_axes("Unsqueeze", y, [3], 13)]), channels
    row = writer.node("Reshape", [x, writer.constant([0, channels, -1])])
    weight = masked(rng, channels, channels, (3, 1))[..., 0]
    y = writer.node("Relu", [writer.node("Conv", [row, writer.constant(weight)], pads=[1, 1])])
    return writer.node("Reshape", [y, writer.node("Shape", [x])]), channels


def attended(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add self-attention over places."""
    flat = writer.node("Transpose", [writer.node("Reshape", [x, writer.constant([0, channels, -1])])], perm=[0, 2, 1])
    query, key, value = (
        writer.node("MatMul", [flat, writer.constant(masked(writer.rng, channels, channels, (1, 1))[..., 0, 0])])
        for _ in range(3)
    )
    scores = writer.node("MatMul", [query, writer.node("Transpose", [key], perm=[0, 2, 1])])
    weights = writer.node("Softmax", [writer.node("Mul", [scores, writer.constant(0.1)])], axis=2)
    y = writer.node("Transpose", [writer.node("MatMul", [weights, value])], perm=[0, 2, 1])
    return writer.node("Add", [x, writer.node("Reshape", [y, writer.node("Shape", [x])])]), channels


def halved(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Work on one half; of a single channel there is none."""
    return halves(writer, x, channels) if channels > 1 else layer(writer, x, channels)


def shared(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Apply one weight twice, one after the other or side by side."""
    weight = writer.constant(masked(writer.rng, channels, channels, (3, 3)))
    first = writer.node("Relu", [writer.node("Conv", [x, weight], pads=[1, 1, 1, 1])])
    second = writer.node("Conv", [first if writer.rng.random() < 0.5 else x, weight], pads=[1, 1, 1, 1])
    return writer.node("Add", [first, second]), channels


def repeated(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Repeat all channels by Tile, or one of them by Expand."""
    if writer.rng.random() < 0.5:
        return writer.node("Tile", [x, writer.constant([1, 2, 1, 1])]), 2 * channels
    one = conv(writer, x, channels, 1)
    return writer.node("Add", [x, writer.node("Expand", [one, writer.node("Shape", [x])])]), channels


def downsampled(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Halve the size: by a pool, a stride, a Slice, or by moving places into channels."""
    rng = writer.rng
    kind = rng.choice(["pool", "stride", "slice", "focus", "depth"])
    if kind == "pool":
        op = str(rng.choice(["MaxPool", "AveragePool"]))
        return writer.node(op, [x], kernel_shape=[2, 2], strides=[2, 2]), channels
    if kind == "depth":
        return layer(writer, writer.node("SpaceToDepth", [_even(writer, x)], blocksize=2), 4 * channels)
    if kind == "stride" or writer.opset < 10:
        return conv(writer, x, channels, channels, stride=2), channels
    ends, axes, steps = (writer.constant(values) for values in ([9999, 9999], [2, 3], [2, 2]))
    corners = [(0, 0)] if kind == "slice" else [(0, 0), (1, 0), (0, 1), (1, 1)]
    x = _even(writer, x) if kind == "focus" else x
    parts = [writer.node("Slice", [x, writer.constant(list(corner)), ends, axes, steps]) for corner in corners]
    return (parts[0], channels) if len(parts) == 1 else (writer.node("Concat", parts, axis=1), 4 * channels)


def upsampled(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Double the size: by Resize, by ConvTranspose with odd pads, or by moving channels into places."""
    rng = writer.rng
    kind = rng.choice(["resize", "transposed", "depth"])
    if kind == "resize":
        return writer.resize(x, 2.0, str(rng.choice(["nearest", "linear"])), "asymmetric"), channels
    if kind == "depth" and channels % 4 == 0:
        mode = {"mode": str(rng.choice(["DCR", "CRD"]))} if writer.opset >= 11 else {}
        return writer.node("DepthToSpace", [x], blocksize=2, **mode), channels // 4
    filters = int(rng.choice([2, 4, 8]))
    weight = masked(rng, filters, channels, (3, 3)).transpose(1, 0, 2, 3)
    inputs = [x, writer.constant(weight), writer.constant(rng.normal(0, 0.3, filters))]
    y = writer.node("ConvTranspose", inputs, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    return activation(writer, y, filters), filters


KEEPING: tuple[Block, ...] = (
    layer, layer, depthwise, depthwise, grouped, grouped, same_transposed, with_constants, with_constants, functions,
    branches, branches, branches, shuffled, shuffle_unit, parts_kept, picked, more_channels, normalised, gated,
    linear_units, channels_last, channels_last, along_a_row, attended, shared, repeated, residual, squeeze_and_excite,
    halved, bordered, scaled,
)  # fmt: skip
RESIZING: tuple[Block, ...] = (downsampled, upsampled)


def _divisor(rng: np.random.Generator, count: int) -> int:
    return int(rng.choice([number for number in range(1, count + 1) if count % number == 0]))


def _even(writer: Writer, x: str) -> str:
    """Return maps of even height and width: each twice as large as `x`."""
    return writer.resize(x, 2.0, "nearest", "asymmetric")


def _head(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a map of few channels, or classes; return it and its rank."""
    rng = writer.rng
    y = conv(writer, x, channels, int(rng.choice([1, 3])), size=1)
    kind = rng.integers(4)
    if kind == 0:
        return y, 4
    if kind == 1:
        return writer.node("Sigmoid", [y]), 4
    pooled = writer.node("GlobalAveragePool", [x])
    return linear(writer, writer.node("Flatten", [pooled]), channels, int(rng.choice([2, 5]))), 2
