"""What an ONNX file computes in float64, by PyTorch: a second opinion that shares no code with the program.

Written from ONNX's operator definitions for what the generators here and the lowerings write, opsets 9 to 21. It is
believed only where ONNX Runtime's float32 run, all optimisations off, agrees.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Tensors = list[torch.Tensor | None]

EPS = float(np.finfo(np.float32).eps)


class UnsupportedError(Exception):
    """The model holds an operator that this evaluator does not know."""


def evaluate(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of `model` by name, in float64, for its only input `x`."""
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    stored = {tensor.name: _wide(onnx.numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
    values: dict[str, torch.Tensor] = dict(stored)
    name = next(value.name for value in model.graph.input if value.name not in stored)
    values[name] = torch.from_numpy(x.astype(np.float64))
    with torch.no_grad():
        for node in model.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} | {"opset": opset}
            if node.op_type not in OPERATORS or node.domain not in {"", "ai.onnx"}:
                raise UnsupportedError(f"{node.domain}:{node.op_type}")
            inputs = [values[name] if name else None for name in node.input]
            attributes["count"] = len(node.output)
            found = OPERATORS[node.op_type](inputs, attributes)
            outputs = found if isinstance(found, list | tuple) else [found]
            values.update(zip(node.output, outputs, strict=False))
    return {output.name: values[output.name].numpy() for output in model.graph.output}


def float32_session(content: bytes) -> onnxruntime.InferenceSession:
    """Return a session of ONNX Runtime with every optimisation off, one thread, nothing logged."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def float32(session: onnxruntime.InferenceSession, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of `session` by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: x}), strict=True))


def inputs_of(shape: tuple[int, int, int], *, batch: int | None, resizable: bool, seed: int) -> list[np.ndarray]:
    """Return inputs chosen broadly, other ones than the program's own; `batch`: the only one that the model takes."""
    rng = np.random.default_rng([seed, 7])
    channels, height, width = shape
    size = batch or 3

    def noise(h: int = height, w: int = width) -> np.ndarray:
        return rng.standard_normal((size, channels, h, w), dtype=np.float32)

    impulses = np.zeros((size, *shape), np.float32)
    for image in impulses:
        image[rng.integers(channels), rng.integers(height), rng.integers(width)] = rng.choice([-3, 1, 3])
    levels = rng.choice([-0.7, 0.3, 1.3], size=(size, channels, 1, 1)).astype(np.float32)
    found = [
        noise(),
        noise() + 1,
        rng.random((size, *shape), dtype=np.float32),
        impulses,
        np.broadcast_to(levels, (size, *shape)).copy(),
        30 * noise(),
        np.float32(0.03) * noise(),
        1000 * noise(),
        np.float32(0.001) * noise(),
    ]
    if resizable:
        found.append(noise(height + 2, width + 1))
    return found


def noise_of(truth: np.ndarray, single: np.ndarray) -> float:
    """Return the noise of float32 in an output: what its float32 run is off, at least 2 units in the last place."""
    return max(float(np.max(np.abs(single - truth), initial=0)), 2 * EPS * scale_of(truth))


def scale_of(truth: np.ndarray) -> float:
    """Return the largest value of an output."""
    return float(np.max(np.abs(truth), initial=0))


def _wide(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, np.float64 if array.dtype == np.float32 else array.dtype))


def _ints(tensor: torch.Tensor | None) -> list[int]:
    assert tensor is not None
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _axes(inputs: Tensors, attributes: dict[str, Any]) -> list[int]:
    if len(inputs) > 1 and inputs[1] is not None:
        return _ints(inputs[1])
    return list(attributes.get("axes", range(inputs[0].ndim if inputs[0] is not None else 0)))


def _window(size: Sequence[int], kernel: Sequence[int], attributes: dict[str, Any]) -> tuple[list[int], ...]:
    """Return strides, dilations, pads at the begin and at the end, and output sizes of a sliding window."""
    rank = len(kernel)
    strides = list(attributes.get("strides", [1] * rank))
    dilations = list(attributes.get("dilations", [1] * rank))
    pads = list(attributes.get("pads", [0] * (2 * rank)))
    begin, end = pads[:rank], pads[rank:]
    extent = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    automatic = attributes.get("auto_pad", b"NOTSET").decode()
    if automatic.startswith("SAME"):
        total = [max(0, (math.ceil(n / s) - 1) * s + e - n) for n, s, e in zip(size, strides, extent, strict=True)]
        begin = [(t if automatic == "SAME_UPPER" else t + 1) // 2 for t in total]
        end = [t - b for t, b in zip(total, begin, strict=True)]
    out = []
    for n, s, e, b, p in zip(size, strides, extent, begin, end, strict=True):
        positions = (n + b + p - e) / s
        count = math.ceil(positions) + 1 if attributes.get("ceil_mode") else math.floor(positions) + 1
        if attributes.get("ceil_mode") and (count - 1) * s >= n + b:
            count -= 1  # a window that would start in the padding at the end
        out.append(count)
    return strides, dilations, begin, end, out


def _taps(x: torch.Tensor, kernel: Sequence[int], attributes: dict[str, Any], filling: float) -> list[torch.Tensor]:
    """Return what each tap of a pooling window sees, the borders filled with `filling`."""
    strides, dilations, begin, _, out = _window(x.shape[2:], kernel, attributes)
    reach = [(o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(out, strides, dilations, kernel, strict=True)]
    pads = [(b, max(0, r - n - b)) for b, r, n in zip(begin, reach, x.shape[2:], strict=True)]
    x = functional.pad(x, [side for pair in reversed(pads) for side in pair], value=filling)
    seen = []
    for tap in itertools.product(*(range(k) for k in kernel)):
        window = [
            slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilations, out, strides, strict=True)
        ]
        seen.append(x[(slice(None), slice(None), *window)])
    return seen


def _conv(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, weight, bias = [*inputs, None][:3]
    assert x is not None
    assert weight is not None
    strides, dilations, begin, end, _ = _window(x.shape[2:], weight.shape[2:], attributes)
    pads = [side for pair in reversed(list(zip(begin, end, strict=True))) for side in pair]
    convolve = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[x.ndim]
    return convolve(functional.pad(x, pads), weight, bias, strides, 0, dilations, attributes.get("group", 1))


def _conv_transpose(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, weight, bias = [*inputs, None][:3]
    assert x is not None
    assert weight is not None
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    extra = attributes.get("output_padding", [0, 0])
    full = functional.conv_transpose2d(x, weight, bias, strides, 0, 0, attributes.get("group", 1), dilations)
    blank = 0 if bias is None else bias[:, None, None]
    grown = torch.zeros(*full.shape[:2], full.shape[2] + extra[0], full.shape[3] + extra[1], dtype=full.dtype) + blank
    grown[:, :, : full.shape[2], : full.shape[3]] = full
    return grown[:, :, pads[0] : grown.shape[2] - pads[2], pads[1] : grown.shape[3] - pads[3]]


def _max_pool(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    assert inputs[0] is not None
    return torch.stack(_taps(inputs[0], attributes["kernel_shape"], attributes, -math.inf)).amax(0)


def _average_pool(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, kernel = inputs[0], attributes["kernel_shape"]
    assert x is not None
    total = torch.stack(_taps(x, kernel, attributes, 0)).sum(0)
    ones = torch.ones_like(x[:1, :1])
    if attributes.get("count_include_pad"):
        _, _, begin, end, _ = _window(x.shape[2:], kernel, attributes)
        pads = [side for pair in reversed(list(zip(begin, end, strict=True))) for side in pair]
        rank = len(kernel)
        ones = functional.pad(ones, pads, value=1.0)
        attributes = attributes | {"pads": [0] * 2 * rank}
        counted = torch.stack(_taps(ones, kernel, attributes, 0)).sum(0)
        return total / counted
    return total / torch.stack(_taps(ones, kernel, attributes, 0)).sum(0)


def _batch_norm(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, scale, bias, mean, var = inputs
    assert x is not None
    if attributes.get("training_mode"):
        raise UnsupportedError("BatchNormalization that trains")
    return functional.batch_norm(x, mean, var, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _lrn(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, size = inputs[0], attributes["size"]
    assert x is not None
    before, after = (size - 1) // 2, math.ceil((size - 1) / 2)
    squares = functional.pad(x * x, (0, 0, 0, 0, before, after))
    total = sum(squares[:, n : n + x.shape[1]] for n in range(size))
    alpha, beta, bias = attributes.get("alpha", 1e-4), attributes.get("beta", 0.75), attributes.get("bias", 1.0)
    return x / (bias + alpha / size * total) ** beta


def _layer_norm(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, scale, bias = [*inputs, None][:3]
    assert x is not None
    axes = list(range(attributes.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdim=True)
    y = centred / torch.sqrt((centred * centred).mean(axes, keepdim=True) + attributes.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def _depth_to_space(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, size = inputs[0], attributes["blocksize"]
    assert x is not None
    count, channels, height, width = x.shape
    if attributes.get("mode", b"DCR") == b"DCR":
        parts = x.reshape(count, size, size, channels // size**2, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(count, channels // size**2, size, size, height, width).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(count, channels // size**2, height * size, width * size)


def _space_to_depth(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, size = inputs[0], attributes["blocksize"]
    assert x is not None
    count, channels, height, width = x.shape
    parts = x.reshape(count, channels, height // size, size, width // size, size).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(count, channels * size**2, height // size, width // size)


def _softmax(function: Callable[..., torch.Tensor]) -> Callable[[Tensors, dict[str, Any]], torch.Tensor]:
    def apply(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
        x = inputs[0]
        assert x is not None
        if attributes["opset"] >= 13:
            return function(x, attributes.get("axis", -1))
        axis = attributes.get("axis", 1) % max(x.ndim, 1)
        return function(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)

    return apply


def _gemm(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    a, b, c = [*inputs, None][:3]
    assert a is not None
    assert b is not None
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    y = attributes.get("alpha", 1.0) * (a @ b)
    return y if c is None else y + attributes.get("beta", 1.0) * c


def _split(inputs: Tensors, attributes: dict[str, Any]) -> Sequence[torch.Tensor]:
    x, axis = inputs[0], attributes.get("axis", 0)
    assert x is not None
    if len(inputs) > 1 and inputs[1] is not None:
        return x.split(_ints(inputs[1]), axis)
    if "split" in attributes:
        return x.split(list(attributes["split"]), axis)
    return x.split(math.ceil(x.shape[axis] / attributes["count"]), axis)


def _slice(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    if attributes["opset"] < 10:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = _ints(inputs[1]), _ints(inputs[2])
        axes = _ints(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else range(len(starts))
        steps = _ints(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    array, index = x.numpy(), [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        below = step < 0 and end < -array.shape[axis]
        index[axis] = slice(start, None if below else end, step)
    return torch.from_numpy(array[tuple(index)].copy())


def _pad(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    old = attributes["opset"] < 11
    pads = list(attributes["pads"]) if old else _ints(inputs[1])
    value = attributes.get("value", 0.0) if old else 0.0
    if not old and len(inputs) > 2 and inputs[2] is not None:
        value = float(inputs[2])
    axes = _ints(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else list(range(x.ndim))
    widths = [(0, 0)] * x.ndim
    for number, axis in enumerate(axes):
        widths[axis] = (pads[number], pads[number + len(axes)])
    mode = attributes.get("mode", b"constant").decode()
    array = x.numpy()
    for axis, pair in enumerate(widths):  # negative pads crop
        crop = slice(max(0, -pair[0]), array.shape[axis] - max(0, -pair[1]))
        array = array[(slice(None),) * axis + (crop,)]
    widths = [(max(0, a), max(0, b)) for a, b in widths]
    options = {"constant_values": value} if mode == "constant" else {}
    return torch.from_numpy(np.ascontiguousarray(np.pad(array, widths, mode=mode, **options)))  # type: ignore[call-overload]


def _reshape(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, sizes = inputs[0], _ints(inputs[1])
    assert x is not None
    if not attributes.get("allowzero"):
        sizes = [x.shape[n] if size == 0 else size for n, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x, axis = inputs[0], attributes.get("axis", 1)
    assert x is not None
    return x.reshape(math.prod(x.shape[:axis]) if axis else 1, -1)


def _squeeze(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    return x.squeeze(tuple(_axes(inputs, attributes)))


def _unsqueeze(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    axes = _axes(inputs, attributes)
    for axis in sorted(a % (x.ndim + len(axes)) for a in axes):
        x = x.unsqueeze(axis)
    return x


def _reduce(by: Callable[..., torch.Tensor]) -> Callable[[Tensors, dict[str, Any]], torch.Tensor]:
    def reduce(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
        return by(inputs[0], dim=_axes(inputs, attributes), keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _clip(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    low, high = attributes.get("min", -math.inf), attributes.get("max", math.inf)
    if len(inputs) > 1 and inputs[1] is not None:
        low = float(inputs[1])
    if len(inputs) > 2 and inputs[2] is not None:
        high = float(inputs[2])
    return x.clamp(low, high)


def _resize(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    x = inputs[0]
    assert x is not None
    old = attributes["opset"] < 11
    mode = attributes.get("mode", b"nearest").decode()
    way = "asymmetric" if old else attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = "floor" if old else attributes.get("nearest_mode", b"round_prefer_floor").decode()
    given = inputs[1] if old else inputs[2]
    if given is not None and given.numel():
        scales = [float(scale) for scale in given.tolist()]
        sizes = [math.floor(n * s) for n, s in zip(x.shape, scales, strict=True)]
    else:
        sizes = _ints(inputs[3])
        scales = [size / n for size, n in zip(sizes, x.shape, strict=True)]
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        if scale != 1:
            x = _resized(x, axis, size, scale, mode, way, rounding)
    return x


def _resized(x: torch.Tensor, axis: int, size: int, scale: float, mode: str, way: str, rounding: str) -> torch.Tensor:
    last, position = x.shape[axis] - 1, np.arange(size, dtype=np.float64)
    if way == "align_corners":
        place = position * (last / (size - 1)) if size > 1 else position * 0
    elif way == "asymmetric":
        place = position / scale
    elif way in {"half_pixel", "pytorch_half_pixel"}:
        place = (position + 0.5) / scale - 0.5 if way == "half_pixel" or size > 1 else position * 0
    else:
        raise UnsupportedError(f"Resize with {way}")
    if mode == "nearest":
        rounded = {
            "floor": np.floor(place),
            "ceil": np.ceil(place),
            "round_prefer_floor": np.ceil(place - 0.5),
            "round_prefer_ceil": np.floor(place + 0.5),
        }[rounding]
        return x.index_select(axis, torch.from_numpy(np.clip(rounded, 0, last).astype(np.int64)))
    if mode != "linear":
        raise UnsupportedError(f"Resize with mode {mode}")
    place = np.clip(place, 0, last)
    low = np.floor(place).astype(np.int64)
    share = torch.from_numpy(place - low).reshape([-1] + [1] * (x.ndim - 1 - axis))
    high = torch.from_numpy(np.minimum(low + 1, last))
    return x.index_select(axis, torch.from_numpy(low)) * (1 - share) + x.index_select(axis, high) * share


def _prelu(inputs: Tensors, _attributes: dict[str, Any]) -> torch.Tensor:
    x, slope = inputs
    assert x is not None
    assert slope is not None
    return torch.where(x < 0, x * slope, x)


def _constant(_inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    if "value" in attributes:
        return _wide(onnx.numpy_helper.to_array(attributes["value"]))
    if "value_float" in attributes:
        return torch.tensor(attributes["value_float"], dtype=torch.float64)
    if "value_floats" in attributes:
        return torch.tensor(attributes["value_floats"], dtype=torch.float64)
    return torch.tensor(attributes["value_int"] if "value_int" in attributes else list(attributes["value_ints"]))


def _cast(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
    assert inputs[0] is not None
    wide = {onnx.TensorProto.FLOAT: torch.float64, onnx.TensorProto.DOUBLE: torch.float64}
    return inputs[0].to(wide.get(attributes["to"]) or {6: torch.int32, 7: torch.int64, 9: torch.bool}[attributes["to"]])


def _one(function: Callable[..., torch.Tensor], **defaults: float) -> Callable[[Tensors, dict[str, Any]], torch.Tensor]:
    """Return an operator of one input with `defaults` for its attributes."""

    def apply(inputs: Tensors, attributes: dict[str, Any]) -> torch.Tensor:
        return function(inputs[0], **{key: attributes.get(key, value) for key, value in defaults.items()})

    return apply


def _many(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[Tensors, Any], torch.Tensor]:
    """Return an operator that folds its inputs, two or more."""

    def fold(inputs: Tensors, _attributes: dict[str, Any]) -> torch.Tensor:
        first, *others = inputs
        assert first is not None
        for other in others:
            assert other is not None
            first = function(first, other)
        return first

    return fold


def _divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


OPERATORS: dict[str, Callable[[Tensors, dict[str, Any]], Any]] = {
    "Abs": _one(torch.abs),
    "Add": _many(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "CastLike": lambda inputs, _: inputs[0].to(inputs[1].dtype),
    "Clip": _clip,
    "Concat": lambda inputs, attributes: torch.cat([x for x in inputs if x is not None], attributes["axis"]),
    "Constant": _constant,
    "ConstantOfShape": lambda inputs, attributes: torch.full(
        _ints(inputs[0]),
        _wide(onnx.numpy_helper.to_array(attributes["value"])).item() if "value" in attributes else 0.0,
        dtype=_wide(onnx.numpy_helper.to_array(attributes["value"])).dtype if "value" in attributes else torch.float64,
    ),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _many(_divide),
    "Dropout": lambda inputs, _: inputs[0],
    "Elu": _one(lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x)), alpha=1.0),
    "Erf": _one(torch.erf),
    "Exp": _one(torch.exp),
    "Equal": _many(torch.eq),
    "Expand": lambda inputs, _: inputs[0] + torch.zeros(_ints(inputs[1]), dtype=inputs[0].dtype),
    "Flatten": _flatten,
    "Floor": _one(torch.floor),
    "Gelu": lambda inputs, attributes: functional.gelu(
        inputs[0], approximate=attributes.get("approximate", b"none").decode()
    ),
    "Gather": lambda inputs, attributes: torch.from_numpy(
        np.take(inputs[0].numpy(), inputs[1].numpy(), axis=attributes.get("axis", 0))
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _one(lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)),
    "GlobalMaxPool": _one(lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True)),
    "Greater": _many(torch.gt),
    "HardSigmoid": _one(lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), alpha=0.2, beta=0.5),
    "HardSwish": _one(lambda x: x * (x / 6 + 0.5).clamp(0, 1)),
    "Identity": lambda inputs, _: inputs[0],
    "InstanceNormalization": lambda inputs, attributes: functional.instance_norm(
        inputs[0], weight=inputs[1], bias=inputs[2], eps=attributes.get("epsilon", 1e-5)
    ),
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _one(lambda x, alpha: torch.where(x < 0, alpha * x, x), alpha=0.01),
    "Less": _many(torch.lt),
    "Log": _one(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _many(torch.matmul),
    "Max": _many(torch.maximum),
    "MaxPool": _max_pool,
    "Mean": lambda inputs, attributes: _many(torch.add)(inputs, attributes) / len(inputs),
    "Mish": _one(functional.mish),
    "Min": _many(torch.minimum),
    "Mul": _many(torch.mul),
    "Neg": _one(torch.neg),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _many(torch.pow),
    "Reciprocal": _one(torch.reciprocal),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _one(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": _one(
        lambda x, alpha, gamma: gamma * torch.where(x > 0, x, alpha * torch.expm1(x)),
        alpha=1.67326319217681884765625,
        gamma=1.05070102214813232421875,
    ),
    "Shape": lambda inputs, _: torch.tensor(inputs[0].shape),
    "Sigmoid": _one(torch.sigmoid),
    "Slice": _slice,
    "Softmax": _softmax(torch.softmax),
    "Softsign": _one(functional.softsign),
    "SpaceToDepth": _space_to_depth,
    "Softplus": _one(lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "Split": _split,
    "Sqrt": _one(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _many(torch.sub),
    "Sum": _many(torch.add),
    "Tanh": _one(torch.tanh),
    "Tile": lambda inputs, _: inputs[0].repeat(_ints(inputs[1])),
    "Transpose": lambda inputs, attributes: inputs[0].permute(
        attributes.get("perm", tuple(reversed(range(inputs[0].ndim))))
    ),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    "Where": lambda inputs, _: torch.where(*inputs),
}
