"""Random ONNX files of opsets 9 to 21, written operator by operator as exporters of their time did.

Each has convolutions with dead stripes, dead filters and sometimes a dead layer, around what published networks hold:
BatchNormalization left unmerged, before or after the convolution, dense blocks, residuals, squeeze-and-excite, LRN,
depthwise and grouped convolutions, pooling with ceil_mode, Resize, ConvTranspose, Split, heads of all kinds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnx.numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OPSETS = tuple(range(9, 22))
IR_VERSIONS = {9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RandomModel:
    """A random ONNX file.

    Attributes:
        seed: it is made from this number alone.
        proto: the model.
        input_shape: `(C, H, W)`.
        batch: the only batch that it takes, or None.
        resizable: whether it takes other sizes.

    """

    seed: int
    proto: onnx.ModelProto
    input_shape: tuple[int, int, int]
    batch: int | None
    resizable: bool


def random_model(seed: int, *, opset: int | None = None) -> RandomModel:
    """Return the random model of `seed`, of a random opset unless it is given."""
    rng = np.random.default_rng([seed, 1])
    drawn = int(rng.choice(OPSETS))
    writer = Writer(drawn if opset is None else opset, rng)
    size = int(rng.integers(9, 20))
    shape = (int(rng.choice([1, 3, 4])), size, int(size + rng.integers(0, 3)))
    x, channels = conv_block(writer, "x", shape[0])
    kinds: list[Callable[[Writer, str, int], tuple[str, int]]] = [
        BLOCKS[index] for index in rng.integers(len(BLOCKS), size=rng.integers(1, 5))
    ]
    for block in kinds:
        x, channels = block(writer, x, channels)
    fixed = bool(rng.random() < 0.25)
    outputs = _heads(writer, x, channels, shape if fixed else None)
    resizable = not fixed
    batch = 1 if fixed and rng.random() < 0.5 else None
    sizes = [batch or "N", shape[0], *(shape[1:] if fixed else ("H", "W"))]
    proto = writer.model(sizes, outputs)
    return RandomModel(seed=seed, proto=proto, input_shape=shape, batch=batch, resizable=resizable)


class Writer:
    """Collects nodes and initializers, and knows how each operator was spelled at its opset."""

    def __init__(self, opset: int, rng: np.random.Generator) -> None:
        self.opset, self.rng = opset, rng
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: object) -> str:
        """Add a node and return its first output; the others end in _1, _2 ..."""
        name = f"{op.lower()}{len(self.nodes)}"
        names = [name, *(f"{name}_{n}" for n in range(1, outputs))]
        self.nodes.append(onnx.helper.make_node(op, inputs, names, name=name, **attributes))
        return name

    def constant(self, array: np.ndarray | Sequence[float] | Sequence[int] | float) -> str:
        """Add an initializer; floats become float32."""
        values = np.asarray(array)
        values = values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64)
        name = f"t{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(values, name))
        return name

    def model(
        self, sizes: Sequence[int | str], outputs: Sequence[str], ranks: Mapping[str, int] | None = None
    ) -> onnx.ModelProto:
        """Return the checked model; `ranks` of outputs whose shapes cannot be inferred."""
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(sizes))
        found = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
        graph = onnx.helper.make_graph(self.nodes, "random", [x], found, self.initializers)
        proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])
        proto.ir_version = IR_VERSIONS[self.opset]
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        proto.graph.ClearField("output")
        proto.graph.output.extend(inferred.graph.output)
        for output in proto.graph.output:
            if not output.type.tensor_type.HasField("shape"):
                output.type.tensor_type.shape.dim.extend(
                    onnx.TensorShapeProto.Dimension() for _ in range((ranks or {})[output.name])
                )
        onnx.checker.check_model(proto)
        return proto

    def with_axes(self, op: str, x: str, axes: Sequence[int], since: int, **attributes: int) -> str:
        """Add a node whose axes became an input in opset `since`."""
        if self.opset >= since:
            return self.node(op, [x, self.constant(list(axes))], **attributes)
        return self.node(op, [x], axes=list(axes), **attributes)

    def clip(self, x: str, low: float, high: float) -> str:
        """Add a Clip."""
        if self.opset >= 11:
            return self.node("Clip", [x, self.constant(low), self.constant(high)])
        return self.node("Clip", [x], min=low, max=high)

    def pad(self, x: str, pads: Sequence[int], mode: str, value: float = 0.0) -> str:
        """Add a Pad of height and width: top, left, bottom, right."""
        full = [0, 0, *pads[:2], 0, 0, *pads[2:]]
        if self.opset < 11:
            return self.node("Pad", [x], pads=full, mode=mode, value=value)
        more = [self.constant(value)] if mode == "constant" else []
        return self.node("Pad", [x, self.constant(full), *more], mode=mode)

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        """Add a Split of the channels."""
        if self.opset >= 13:
            first = self.node("Split", [x, self.constant(list(sizes))], outputs=len(sizes), axis=1)
        else:
            first = self.node("Split", [x], outputs=len(sizes), axis=1, split=list(sizes))
        return [first, *(f"{first}_{n}" for n in range(1, len(sizes)))]

    def cut(self, x: str, axis: int, start: int, end: int) -> str:
        """Add a Slice."""
        if self.opset < 10:
            return self.node("Slice", [x], axes=[axis], starts=[start], ends=[end])
        return self.node("Slice", [x, self.constant([start]), self.constant([end]), self.constant([axis])])

    def resize(self, x: str, scale: float, mode: str, way: str) -> str:
        """Add a Resize of height and width, Upsample before there was one."""
        scales = self.constant([1.0, 1.0, scale, scale])
        if self.opset == 9:
            return self.node("Upsample", [x, scales], mode=mode)
        if self.opset == 10:
            return self.node("Resize", [x, scales], mode=mode)
        rounding = {"nearest_mode": "floor"} if mode == "nearest" else {}
        roi = "" if self.opset >= 13 else self.constant(np.zeros(0, np.float32))
        return self.node("Resize", [x, roi, scales], mode=mode, coordinate_transformation_mode=way, **rounding)


def masked(rng: np.random.Generator, filters: int, channels: int, kernel: tuple[int, int]) -> np.ndarray:
    """Return a weight `[filters, channels, *kernel]` of unit gain, a random share of its stripes and filters dead."""
    live = rng.choice([0.0, 0.1, 0.3, 0.6, 1.0], p=[0.04, 0.16, 0.35, 0.3, 0.15])
    mask = rng.random((filters, *kernel)) < live
    mask[rng.random(filters) < rng.choice([0, 0.3, 0.6])] = False
    weight = rng.normal(size=(filters, channels, *kernel)) * mask[:, None]
    gain = rng.choice([1.0, 1.0, 1.0, 1e-2, 20.0])
    return weight * gain / max(1.0, np.sqrt(np.count_nonzero(weight) / filters))


def batch_norm(writer: Writer, x: str, channels: int) -> str:
    """Add a BatchNormalization in inference, as it was spelled at the opset."""
    rng = writer.rng
    gamma = rng.normal(1, 0.4, channels) * (rng.random(channels) < 0.9)
    facts = [gamma, rng.normal(0, 0.5, channels), rng.normal(0, 0.5, channels), np.exp(rng.normal(0, 1, channels))]
    return writer.node("BatchNormalization", [x, *map(writer.constant, facts)], epsilon=float(rng.choice([1e-5, 1e-3])))


def activation(writer: Writer, x: str, channels: int) -> str:
    """Add an activation of any kind, ReLU being the usual one."""
    rng = writer.rng
    kind = rng.choice(
        ["relu", "none", "leaky", "prelu", "elu", "selu", "sigmoid", "tanh", "softplus", "clip", "silu", "hardswish"],
        p=[0.45, *[0.05] * 11],
    )
    if kind == "none":
        return x
    if kind == "prelu":
        return writer.node("PRelu", [x, writer.constant(rng.normal(0.2, 0.1, (channels, 1, 1)))])
    if kind == "clip":
        return writer.clip(x, 0.0, 6.0)
    if kind == "silu":
        return writer.node("Mul", [x, writer.node("Sigmoid", [x])])
    if kind == "hardswish":
        if writer.opset >= 14:
            return writer.node("HardSwish", [x])
        return writer.node("Mul", [x, writer.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)])
    names = {"leaky": "LeakyRelu", "elu": "Elu", "selu": "Selu"}
    return writer.node(names.get(str(kind), str(kind).capitalize()), [x])


def conv(writer: Writer, x: str, channels: int, filters: int, *, stride: int = 1, size: int | None = None) -> str:
    """Add a Conv with dead stripes that keeps the size where its stride is 1."""
    rng = writer.rng
    kernel = (size, size) if size else [(3, 3), (3, 3), (3, 3), (1, 1), (5, 5), (1, 7), (3, 1)][rng.integers(7)]
    dilation = int(rng.choice([1, 1, 1, 2]))
    pads = [dilation * (k // 2) for k in kernel]
    weight = masked(rng, filters, channels, (kernel[0], kernel[1]))
    inputs = [x, writer.constant(weight)]
    if rng.random() < 0.5:
        inputs.append(writer.constant(rng.normal(0, 0.3, filters)))
    attributes: dict[str, object] = {"strides": [stride, stride], "dilations": [dilation, dilation]}
    if dilation == 1 and rng.random() < 0.15:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER"]))
    else:
        attributes["pads"] = pads * 2
    return writer.node("Conv", inputs, kernel_shape=list(kernel), **attributes)


def conv_block(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a convolution, perhaps BatchNormalization, an activation."""
    filters = int(writer.rng.choice([1, 4, 8, 12, 16, 24]))
    y = conv(writer, x, channels, filters, stride=int(writer.rng.choice([1, 1, 1, 2])))
    if writer.rng.random() < 0.6:
        y = batch_norm(writer, y, filters)
    return activation(writer, y, filters), filters


def preactivation(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a layer of a dense block: BatchNormalization and ReLU before the convolution, the input kept by Concat."""
    growth = int(writer.rng.choice([2, 4, 8]))
    y = activation(writer, batch_norm(writer, x, channels), channels)
    y = conv(writer, y, channels, growth)
    both = [x, y] if writer.rng.random() < 0.8 else [y, x]
    return writer.node("Concat", both, axis=1), channels + growth


def residual(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a residual block with BatchNormalization."""
    y = batch_norm(writer, conv(writer, x, channels, channels), channels)
    y = batch_norm(writer, conv(writer, activation(writer, y, channels), channels, channels), channels)
    return activation(writer, writer.node("Add", [x, y] if writer.rng.random() < 0.5 else [y, x]), channels), channels


def squeeze_and_excite(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Scale the channels by a gate of their means, made by 1x1 convolutions or by Gemm."""
    rng, narrow = writer.rng, max(1, channels // 4)
    if rng.random() < 0.5:
        pooled = writer.node("GlobalAveragePool", [x])
        y = activation(writer, conv(writer, pooled, channels, narrow, size=1), narrow)
        y = conv(writer, y, narrow, channels, size=1)
    else:
        pooled = writer.with_axes("ReduceMean", x, [2, 3], 18, keepdims=0)
        y = writer.node("Relu", [linear(writer, pooled, channels, narrow)])
        y = writer.with_axes("Unsqueeze", linear(writer, y, narrow, channels), [2, 3], 13)
    gate = writer.node(str(rng.choice(["Sigmoid", "HardSigmoid"])), [y])
    return writer.node("Mul", [x, gate]), channels


def local_response(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add an LRN, strong enough to matter."""
    rng = writer.rng
    size, alpha = int(rng.choice([1, 3, 5])), float(rng.choice([1e-4, 0.1, 1.0]))
    return writer.node("LRN", [x], size=size, alpha=alpha, beta=0.75, bias=float(rng.choice([1, 2]))), channels


def depthwise(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a depthwise convolution and a 1x1."""
    rng = writer.rng
    weight = rng.normal(0, 0.4, (channels, 1, 3, 3))
    y = writer.node("Conv", [x, writer.constant(weight)], group=channels, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    y = activation(writer, batch_norm(writer, y, channels), channels)
    filters = int(rng.choice([4, 8, 16]))
    return conv(writer, y, channels, filters, size=1), filters


def grouped(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a convolution of two groups where the channels divide."""
    groups = 2 if channels % 2 == 0 else 1
    weight = masked(writer.rng, channels, channels // groups, (3, 3))
    y = writer.node("Conv", [x, writer.constant(weight)], group=groups, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    return activation(writer, y, channels), channels


def pool(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Add a pooling, with ceil_mode where the opset has it."""
    rng = writer.rng
    ceil = {"ceil_mode": int(rng.random() < 0.5)} if writer.opset >= 10 else {}
    if rng.random() < 0.6:
        size = int(rng.choice([2, 3]))
        pads = [int(rng.integers(0, 2))] * 4
        y = writer.node("MaxPool", [x], kernel_shape=[size, size], strides=[2, 2], pads=pads, **ceil)
    else:
        include = int(rng.random() < 0.5)
        y = writer.node("AveragePool", [x], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=include)
    return y, channels


def upsample(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Double the size: by Resize or ConvTranspose."""
    rng = writer.rng
    if rng.random() < 0.5:
        mode = str(rng.choice(["nearest", "linear"]))
        way = "asymmetric" if mode == "nearest" else str(rng.choice(["half_pixel", "align_corners", "asymmetric"]))
        return writer.resize(x, 2.0, mode, way), channels
    filters = int(rng.choice([4, 8]))
    weight = masked(rng, filters, channels, (2, 2)).transpose(1, 0, 2, 3)
    return writer.node("ConvTranspose", [x, writer.constant(weight)], strides=[2, 2], kernel_shape=[2, 2]), filters


def halves(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Split the channels, work on one part, and put the parts together: by Split, Slice or Gather."""
    rng = writer.rng
    if channels < 2:
        return conv_block(writer, x, channels)
    first = int(rng.integers(1, channels))
    kind = rng.choice(["split", "slice", "gather"])
    if kind == "split":
        left, right = writer.split(x, [first, channels - first])
    elif kind == "slice":
        left, right = writer.cut(x, 1, 0, first), writer.cut(x, 1, first, channels)
    else:
        order = rng.permutation(channels)
        left, right = (writer.node("Gather", [x, writer.constant(part)], axis=1) for part in np.split(order, [first]))
    right = activation(writer, conv(writer, right, channels - first, channels - first), channels - first)
    return writer.node("Concat", [right, left], axis=1), channels


def bordered(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Pad with zeros, a number, or the image itself, before a convolution that pads nothing."""
    rng = writer.rng
    mode = str(rng.choice(["constant", "reflect", "edge"]))
    y = writer.pad(x, [1, 1, 1, 1], mode, float(rng.choice([0.0, 0.5])))
    filters = int(rng.choice([4, 8]))
    weight = masked(rng, filters, channels, (3, 3))
    return activation(writer, writer.node("Conv", [y, writer.constant(weight)]), filters), filters


def scaled(writer: Writer, x: str, channels: int) -> tuple[str, int]:
    """Scale and shift each channel, by Mul and Add or Sub, after a Dropout that does nothing."""
    rng = writer.rng
    x = writer.node("Dropout", [x]) if rng.random() < 0.5 else writer.node("Identity", [x])
    y = writer.node("Mul", [x, writer.constant(rng.normal(1, 0.3, (channels, 1, 1)))])
    shift = writer.constant(rng.normal(0, 0.3, (1, channels, 1, 1)))
    op = str(rng.choice(["Add", "Sub"]))
    return writer.node(op, [y, shift] if rng.random() < 0.7 else [shift, y]), channels


BLOCKS: tuple[Callable[[Writer, str, int], tuple[str, int]], ...] = (
    conv_block,
    conv_block,
    preactivation,
    preactivation,
    residual,
    residual,
    squeeze_and_excite,
    local_response,
    depthwise,
    grouped,
    pool,
    upsample,
    halves,
    bordered,
    scaled,
)


def linear(writer: Writer, x: str, features: int, outputs: int) -> str:
    """Add a fully connected layer: Gemm, transposed or not, or MatMul and Add."""
    rng = writer.rng
    weight, bias = rng.normal(0, 1 / np.sqrt(features), (features, outputs)), writer.constant(rng.normal(size=outputs))
    kind = rng.integers(3)
    if kind == 0:
        return writer.node("Gemm", [x, writer.constant(weight), bias])
    if kind == 1:
        return writer.node("Gemm", [x, writer.constant(weight.T), bias], transB=1)
    return writer.node("Add", [writer.node("MatMul", [x, writer.constant(weight)]), bias])


def _heads(writer: Writer, x: str, channels: int, shape: tuple[int, int, int] | None) -> list[str]:
    """Add one output or two: logits, probabilities of any kind, or a map."""
    rng = writer.rng
    outputs = []
    if rng.random() < 0.2:
        classes = int(rng.choice([1, 3]))
        y = conv(writer, x, channels, classes, size=1)
        if rng.random() < 0.5:
            y = writer.node("Softmax", [y], axis=1) if classes > 1 else writer.node("Sigmoid", [y])
        outputs.append(y)
    if not outputs or rng.random() < 0.5:
        classes = int(rng.choice([2, 5, 10]))
        pooled = writer.node(str(rng.choice(["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool"])), [x])
        if rng.random() < 0.6:
            flat = writer.node("Flatten", [pooled])
        elif rng.random() < 0.5:
            flat = writer.node("Reshape", [pooled, writer.constant([0, -1])])
        else:
            flat = writer.with_axes("Squeeze", pooled, [2, 3], 13)
        y = linear(writer, flat, channels, classes)
        kind = rng.choice(["logits", "Softmax", "Sigmoid", "Tanh", "LogSoftmax"], p=[0.5, 0.2, 0.15, 0.1, 0.05])
        if kind in {"Softmax", "LogSoftmax"}:
            y = writer.node(str(kind), [y], axis=1)
        elif kind != "logits":
            y = writer.node(str(kind), [y])
        outputs.append(y)
    return outputs
