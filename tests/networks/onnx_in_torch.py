"""An ONNX graph as a torch module in float64, so that the oracle can look at it: what convolutional networks use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    Tensors = list[torch.Tensor | None]
    Attributes = dict[str, Any]


class OnnxInTorch(nn.Module):
    """Runs `model` (one input, no subgraphs) on float64 images and returns its outputs as a list."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self._graph = model.graph
        self._opset = max(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(_attributes(node)["value"])
        self._constants = {name: _tensor(array) for name, array in constants.items()}
        self._input = next(value.name for value in model.graph.input if value.name not in constants)
        # Weights of products as `[rows, columns]`, once, so that the oracle knows a layer again.
        self._products = {
            node.output[0]: self._product_weight(node)
            for node in model.graph.node
            if node.op_type in {"Gemm", "MatMul"} and node.input[1] in self._constants
        }

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the outputs in the graph's order."""
        values: dict[str, torch.Tensor | None] = {"": None, **self._constants, self._input: images}
        for node in self._graph.node:
            if node.op_type == "Constant":
                continue
            inputs = [values[name] for name in node.input]
            attributes = _attributes(node) | {"opset": self._opset, "outputs": len(node.output)}
            if node.output[0] in self._products:
                outputs = _product(inputs, self._products[node.output[0]], attributes)
            else:
                outputs = OPERATORS[node.op_type](inputs, attributes)
            results = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            values.update(zip(node.output, results, strict=False))
        return [values[output.name] for output in self._graph.output]

    def _product_weight(self, node: onnx.NodeProto) -> torch.Tensor:
        weight = self._constants[node.input[1]]
        return weight.clone() if _attributes(node).get("transB") else weight.transpose(-1, -2).contiguous()


def _tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.double() if tensor.is_floating_point() else tensor


def _attributes(node: onnx.NodeProto) -> Attributes:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _product(inputs: Tensors, weight: torch.Tensor, attributes: Attributes) -> torch.Tensor:
    bias = inputs[2] if len(inputs) > 2 else None
    if weight.ndim > 2:
        return torch.matmul(inputs[0], weight.transpose(-1, -2))
    result = functional.linear(inputs[0] * attributes.get("alpha", 1.0), weight)
    return result if bias is None else result + attributes.get("beta", 1.0) * bias


def _ints(inputs: Tensors, index: int) -> list[int] | None:
    tensor = inputs[index] if len(inputs) > index else None
    return None if tensor is None else [int(value) for value in tensor.reshape(-1)]


def _padded(x: torch.Tensor, attributes: Attributes, value: float = 0.0) -> torch.Tensor:
    """Apply `pads`, or what `auto_pad` means, of a window operator."""
    rank = x.ndim - 2
    pads = list(attributes.get("pads", [0] * 2 * rank))
    if attributes.get("auto_pad", b"NOTSET") in {b"SAME_UPPER", b"SAME_LOWER"}:
        raise NotImplementedError(attributes["auto_pad"])
    flat = [edge for axis in reversed(range(rank)) for edge in (pads[axis], pads[axis + rank])]
    return functional.pad(x, flat, value=value) if any(flat) else x


def _conv(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, weight, *bias = inputs
    rank = weight.ndim - 2
    convolve = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[rank]
    return convolve(
        _padded(x, a), weight, bias[0] if bias else None, a.get("strides", [1] * rank), 0,
        a.get("dilations", [1] * rank), a.get("group", 1),
    )  # fmt: skip


def _conv_transpose(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, weight, *bias = inputs
    pads = a.get("pads", [0, 0, 0, 0])
    assert pads[:2] == pads[2:]
    return torch.conv_transpose2d(
        x, weight, bias[0] if bias else None, a.get("strides", [1, 1]), pads[:2],
        a.get("output_padding", [0, 0]), a.get("group", 1), a.get("dilations", [1, 1]),
    )  # fmt: skip


def _max_pool(inputs: Tensors, a: Attributes) -> torch.Tensor:
    return functional.max_pool2d(
        _padded(inputs[0], a, -np.inf), a["kernel_shape"], a.get("strides", [1, 1]), 0, a.get("dilations", [1, 1]),
        ceil_mode=bool(a.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x = inputs[0]
    options = {
        "kernel_size": a["kernel_shape"],
        "stride": a.get("strides", [1, 1]),
        "ceil_mode": bool(a.get("ceil_mode", 0)),
    }
    total = functional.avg_pool2d(_padded(x, a), **options, divisor_override=1)
    ones = torch.ones_like(x[:1, :1]).detach()
    counted = _padded(ones, a, float(a.get("count_include_pad", 0)))
    return total / functional.avg_pool2d(counted, **options, divisor_override=1)


def _resize(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x = inputs[0]
    sizes = _ints(inputs, 3)
    if sizes is None:
        scales = inputs[-1 if a["opset"] < 11 else 2]
        sizes = [int(size * float(scale)) for size, scale in zip(x.shape, scales, strict=True)]
    mode = a.get("mode", b"nearest").decode()
    if mode == "nearest":
        return functional.interpolate(x, sizes[2:], mode="nearest")
    corners = a.get("coordinate_transformation_mode", b"half_pixel") == b"align_corners"
    return functional.interpolate(x, sizes[2:], mode="bilinear", align_corners=corners)


def _pad(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, pads = inputs[0], _ints(inputs, 1) or a["pads"]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[a.get("mode", b"constant").decode()]
    value = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
    assert pads[:2] == pads[x.ndim : x.ndim + 2] == [0, 0]
    flat = [pads[axis + side * x.ndim] for axis in reversed(range(2, x.ndim)) for side in (0, 1)]
    return functional.pad(x, flat, mode=mode, **({"value": value} if mode == "constant" else {}))


def _slice(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x = inputs[0]
    starts, ends = _ints(inputs, 1) or a["starts"], _ints(inputs, 2) or a["ends"]
    axes = _ints(inputs, 3) or a.get("axes") or list(range(len(starts)))
    steps = _ints(inputs, 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = x.index_select(axis, torch.arange(x.shape[axis])[slice(start, end, step)])
    return x


def _split(inputs: Tensors, a: Attributes) -> list[torch.Tensor]:
    x, axis = inputs[0], a.get("axis", 0)
    sizes = _ints(inputs, 1) or a.get("split")
    if sizes is None:
        return list(x.chunk(a["outputs"], axis))
    return list(x.split(list(sizes), axis))


def _reshape(inputs: Tensors, _: Attributes) -> torch.Tensor:
    x, shape = inputs[0], _ints(inputs, 1) or []
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _gather(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, indices = inputs
    axis = a.get("axis", 0) % x.ndim
    found = x.index_select(axis, indices.reshape(-1) % x.shape[axis])
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _reduce(function: Callable[..., torch.Tensor]) -> Callable[[Tensors, Attributes], torch.Tensor]:
    def run(inputs: Tensors, a: Attributes) -> torch.Tensor:
        axes = _ints(inputs, 1) or a.get("axes") or list(range(inputs[0].ndim))
        return function(inputs[0], dim=list(axes), keepdim=bool(a.get("keepdims", 1)))

    return run


def _squeeze(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x = inputs[0]
    for axis in sorted((axis % x.ndim for axis in _ints(inputs, 1) or a["axes"]), reverse=True):
        x = x.squeeze(axis)
    return x


def _unsqueeze(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, axes = inputs[0], _ints(inputs, 1) or a["axes"]
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _div(inputs: Tensors, _: Attributes) -> torch.Tensor:
    first, second = inputs
    return first / second if first.is_floating_point() else torch.div(first, second, rounding_mode="trunc")


def _flatten(inputs: Tensors, a: Attributes) -> torch.Tensor:
    x, axis = inputs[0], a.get("axis", 1)
    return x.reshape(int(np.prod(x.shape[: axis % (x.ndim + 1)])), -1)


def _cast(inputs: Tensors, a: Attributes) -> torch.Tensor:
    kind = onnx.helper.tensor_dtype_to_np_dtype(a["to"]).kind
    return inputs[0].double() if kind == "f" else inputs[0].to(torch.bool if kind == "b" else torch.int64)


def _softmax(inputs: Tensors, a: Attributes) -> torch.Tensor:
    return inputs[0].softmax(a.get("axis", -1 if a["opset"] >= 13 else 1))  # before 13 on 2-D, or the last axis


def _clip(inputs: Tensors, a: Attributes) -> torch.Tensor:
    """Return a HardSigmoid of other bounds: as the oracle replaces it, it stays bounded."""
    low, high = ((inputs[index] if len(inputs) > index else a.get(name)) for index, name in ((1, "min"), (2, "max")))
    if low is None or high is None:
        return functional.relu(inputs[0])
    return low + (high - low) * functional.hardsigmoid(6 * ((inputs[0] - low) / (high - low) - 0.5))


def _prelu(inputs: Tensors, _: Attributes) -> torch.Tensor:
    x, slope = inputs
    return functional.prelu(x, slope.reshape(-1))


OPERATORS: dict[str, Callable[[Tensors, Attributes], Any]] = {
    "Abs": lambda i, _: i[0].abs(),
    "Add": lambda i, _: i[0] + i[1],
    "AveragePool": _average_pool,
    "BatchNormalization": lambda i, a: functional.batch_norm(
        i[0], i[3], i[4], i[1], i[2], training=False, eps=a.get("epsilon", 1e-5)
    ),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda i, a: torch.cat(i, a["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _div,
    "Exp": lambda i, _: i[0].exp(),
    "Expand": lambda i, _: i[0] * torch.ones(_ints(i, 1), dtype=i[0].dtype),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": lambda i, a: i[0] @ (i[1].T if a.get("transB") else i[1]) + i[2],
    "GlobalAveragePool": lambda i, _: i[0].mean(dim=tuple(range(2, i[0].ndim)), keepdim=True),
    "HardSigmoid": lambda i, a: functional.hardsigmoid(6 * (a.get("alpha", 0.2) * i[0] + a.get("beta", 0.5) - 0.5)),
    "HardSwish": lambda i, _: functional.hardswish(i[0]),
    "Identity": lambda i, _: i[0],
    "InstanceNormalization": lambda i, a: functional.instance_norm(
        i[0], None, None, i[1], i[2], eps=a.get("epsilon", 1e-5)
    ),
    "LeakyRelu": lambda i, a: functional.leaky_relu(i[0], a.get("alpha", 0.01)),
    "MatMul": lambda i, _: torch.matmul(i[0], i[1]),
    "Max": lambda i, _: torch.maximum(*i),
    "MaxPool": _max_pool,
    "Mul": lambda i, _: i[0] * i[1],
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": lambda i, _: i[0] ** i[1],
    "ReduceMean": _reduce(torch.mean),
    "Relu": lambda i, _: functional.relu(i[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda i, a: torch.tensor(i[0].shape)[a.get("start", 0) : a.get("end")],
    "Sigmoid": lambda i, _: torch.sigmoid(i[0]),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": lambda i, _: functional.softplus(i[0]),
    "Split": _split,
    "Sqrt": lambda i, _: i[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda i, _: i[0] - i[1],
    "Tanh": lambda i, _: i[0].tanh(),
    "Transpose": lambda i, a: i[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}
