"""Small ONNX models written as text, and what they compute in float64."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx.shape_inference
import onnx_ir as ir
import torch
from hypothesis import strategies as st

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.metadata import FILTERS, LAYER, encode_filters
from swp_export.stripes import StripeConv

if TYPE_CHECKING:
    from collections.abc import Sequence

PADS = "pads = [1, 1, 1, 1]"


def model_from_text(
    body: str,
    *,
    x: str = "double[N, 3, H, W] x",
    y: str = "double[N, M, P, Q] y",
    opset: int = 18,
    ir_version: int = 8,
    domains: Sequence[str] = (),
    **tensors: np.ndarray,
) -> ir.Model:
    """Return the model whose nodes `body` spells in ONNX's text format, with the `tensors` that it uses."""
    imports = ", ".join(f'"{domain}": {version}' for domain, version in (("", opset), *((d, 1) for d in domains)))
    proto = onnx.parser.parse_model(
        f"<ir_version: {ir_version}, opset_import: [{imports}]> g ({x}) => ({y}) {{{body}}}"
    )
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()
    )
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))


def marked(model: ir.Model) -> ir.Model:
    """Give each convolution of `model` its name and metadata, as `simplify` does."""
    for number, (node, conv) in enumerate(iterate_stripe_convs(model.graph)):
        node.name = node.name or f"conv{number}"
        node.metadata_props[LAYER] = node.name
        node.metadata_props[FILTERS] = encode_filters(np.ones(conv.filters, bool))
    return model


def copied(model: ir.Model) -> ir.Model:
    """Return a copy that shares nothing, by way of the serialised form."""
    return ir.serde.deserialize_model(ir.serde.serialize_model(model))


def from_bytes(content: bytes) -> ir.Model:
    """Return the model in `content`."""
    return ir.from_proto(onnx.ModelProto.FromString(content))


def to_bytes(model: ir.Model) -> bytes:
    """Return the serialised `model`."""
    content: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return content


def to_float32(model: ir.Model) -> ir.Model:
    """Return a copy of a float64 `model` with float32 in its place."""
    proto = ir.serde.serialize_model(model)
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.DOUBLE:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return ir.from_proto(proto)


def furthest(before: ir.Model, after: ir.Model, x: np.ndarray) -> float:
    """Return the largest difference between the two models' outputs on `x`, in float64; infinite if shapes differ."""
    truth, found = Float64Model(before).run(x), Float64Model(after).run(x)
    assert truth.keys() == found.keys()
    return max(
        float(np.abs(truth[key] - found[key]).max()) if truth[key].shape == found[key].shape else np.inf
        for key in truth
    )


def ops(model: ir.Model) -> list[str]:
    """Return the operators of `model` in order."""
    return [node.op_type for node in model.graph]


def weight_shapes(model: ir.Model) -> list[list[int]]:
    """Return the shape of each weight of a Conv, Gemm or MatMul of `model`, in order."""
    return [
        list(ir.convenience.get_const_tensor(node.inputs[1]).shape)
        for node in model.graph
        if node.op_type in {"Conv", "Gemm", "MatMul"}
    ]


def weights(rng: np.random.Generator, *shape: int, dead: Sequence[int] = ()) -> np.ndarray:
    """Return a random float64 weight in which the filters `dead` are zero."""
    weight = rng.normal(size=shape)
    weight[list(dead)] = 0
    return weight


def conv_model(conv: StripeConv) -> ir.Model:
    """Return a model of one Conv, in the dtype of `conv`, open in batch, height and width."""
    dtype = "float" if conv.weight.dtype == np.float32 else "double"
    strides, pads, dilations = ([int(v) for v in part] for part in (conv.strides, conv.pads, conv.dilations))
    model = model_from_text(
        f"y = Conv <strides = {strides}, pads = {pads}, dilations = {dilations}> (x, w, b)",
        x=f"{dtype}[N, {conv.channels}, H, W] x",
        y=f"{dtype}[N, {conv.filters}, P, Q] y",
        w=conv.weight,
        b=conv.bias,
    )
    model.graph[0].name = conv.name
    return marked(model)


def torch_conv(conv: StripeConv, x: np.ndarray) -> np.ndarray:
    """Return what PyTorch computes for `conv` of `x`, in the dtype of `x`."""
    top, left, bottom, right = conv.pads
    padded = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    weight, bias = (torch.from_numpy(np.array(array, x.dtype)) for array in (conv.weight, conv.bias))
    return torch.nn.functional.conv2d(padded, weight, bias, conv.strides, 0, conv.dilations).numpy()


def smallest_size(conv: StripeConv) -> tuple[int, int]:
    """Return the smallest height and width that `conv` admits."""
    extent = [d * (k - 1) + 1 for d, k in zip(conv.dilations, conv.kernel, strict=True)]
    return max(1, extent[0] - conv.pads[0] - conv.pads[2]), max(1, extent[1] - conv.pads[1] - conv.pads[3])


def random_conv(mask: np.ndarray, channels: int = 3, seed: int = 0, **geometry: tuple[int, ...]) -> StripeConv:
    """Return a float64 convolution with random weights in the live stripes of `mask` and a random bias."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(mask.shape[0], channels, *mask.shape[1:])) * mask[:, None]
    return StripeConv(name="conv", weight=weight, bias=rng.normal(size=mask.shape[0]), **geometry)


def in_order(conv: StripeConv, order: np.ndarray) -> StripeConv:
    """Return `conv` with its filters in `order`, -1 for a filter of zeros."""
    weight, bias = conv.weight[order], conv.bias[order]
    weight[order < 0], bias[order < 0] = 0, 0
    return dataclasses.replace(conv, weight=weight, bias=bias)


@st.composite
def stripe_convs(draw: st.DrawFn) -> StripeConv:
    """Draw a float64 StripeConv: any kernel but 1x1, skeleton, stride, asymmetric pads and dilation."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)).filter(lambda k: k != (1, 1)))
    filters, channels = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random((filters, *kernel)) < draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0]))
    if draw(st.booleans()):
        mask[:, draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1))] = False
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    pads = draw(st.tuples(*[st.integers(0, 4)] * 4))
    weight = rng.normal(size=(filters, channels, *kernel)) * mask[:, None]
    return StripeConv(
        name="conv",
        weight=weight,
        bias=rng.normal(size=filters),
        strides=draw(pair),
        pads=pads,
        dilations=draw(pair),
    )
