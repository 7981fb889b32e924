"""Normalisation with stored statistics, and with those of the input itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError, positive_axis
from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, TOKENS, VECTORS, pinned
from swp_export.graph.operators.operator import ChannelRule, Example, Operator
from swp_export.graph.operators.rules.maps import MapWise, behind_channels, evaluated, none, stated_axis, zero_kept

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.node_view import NodeView


def batch_normalization(call: Call) -> np.ndarray:
    """`scale * (x - mean) / sqrt(variance + epsilon) + bias`, per channel, or per element where spatial = 0."""
    refuse_training(call)
    x = call.input(0)
    tail = x.shape[2:] if call.opset < 9 and not call.integer("spatial", 1) else (1,) * (x.ndim - 2)
    scale, bias, mean, variance = (call.input(index).reshape(-1, *tail) for index in range(1, 5))
    return (x - mean) / np.sqrt(variance + call.real("epsilon", 1e-5)) * scale + bias


def refuse_training(call: Call) -> None:
    """Refuse a BatchNormalization that takes the statistics of its own input.

    Raises:
        UnsupportedError: it does.

    """
    if call.integer("training_mode", 0) or call.outputs > 1:
        raise UnsupportedError("it takes the statistics of each batch, as in training; export the network in eval mode")


def refuse_scale_per_group(call: Call) -> None:
    """Refuse the first definition of GroupNormalization, which ONNX took back.

    Raises:
        UnsupportedError: the opset is older than 21.

    """
    if call.opset < 21:
        raise UnsupportedError("ONNX took its definition before opset 21 back; export with opset 21 or newer")


def instance_normalization(call: Call) -> np.ndarray:
    """Each map with its own mean and variance."""
    x = call.input(0)
    tail = (1,) * (x.ndim - 2)
    y = _standardised(x, tuple(range(2, x.ndim)), call.real("epsilon", 1e-5))
    return y * call.input(1).reshape(-1, *tail) + call.input(2).reshape(-1, *tail)


def layer_normalization(call: Call) -> tuple[np.ndarray, ...]:
    """From `axis` on with one mean and variance; they are the second and third output, the variance as 1 / std."""
    x, scale, bias = call.input(0), call.input(1), call.optional(2)
    axes = tuple(range(positive_axis(call.integer("axis", -1), x.ndim), x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + call.real("epsilon", 1e-5))
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias, mean, inverse)


def rms_normalization(call: Call) -> np.ndarray:
    """From `axis` on divided by the root of the mean square."""
    x, scale = call.input(0), call.input(1)
    axes = tuple(range(positive_axis(call.integer("axis", -1), x.ndim), x.ndim))
    return x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + call.real("epsilon", 1e-5)) * scale


def group_normalization(call: Call) -> np.ndarray:
    """Return groups of channels with their own mean and variance."""
    refuse_scale_per_group(call)
    x, scale, bias = call.input(0), call.input(1), call.input(2)
    groups = call.integer("num_groups", 0)
    grouped = x.reshape(x.shape[0], groups, -1)
    y = _standardised(grouped, (2,), call.real("epsilon", 1e-5)).reshape(x.shape)
    tail = (1,) * (x.ndim - 2)
    return y * scale.reshape(-1, *tail) + bias.reshape(-1, *tail)


def lrn(call: Call) -> np.ndarray:
    """Divided by a power of the mean square over `size` neighbouring channels; the odd one lies behind."""
    x, size = call.input(0), call.integer("size", 1)
    squares = np.zeros_like(x)
    for offset in range(-((size - 1) // 2), size - (size - 1) // 2):
        here = slice(max(0, -offset), x.shape[1] - max(0, offset))
        there = slice(max(0, offset), x.shape[1] - max(0, -offset))
        squares[:, here] += x[:, there] ** 2
    alpha, beta, bias = call.real("alpha", 1e-4), call.real("beta", 0.75), call.real("bias", 1.0)
    return x / (bias + alpha / size * squares) ** beta


def lp_normalization(call: Call) -> np.ndarray:
    """Divided by the p-norm along an axis; zeros stay zeros."""
    x, p = call.input(0), call.integer("p", 2)
    axis = positive_axis(call.integer("axis", -1), x.ndim)
    norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
    return np.where(norm == 0, 0.0, x / norm)


def mean_variance_normalization(call: Call) -> np.ndarray:
    """`axes` with one mean and variance; the standard deviation is kept from zero by 1e-9."""
    x, axes = call.input(0), tuple(call.integers("axes") or [0, 2, 3])
    return (x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 1e-9)


def _standardised(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)


def _joint_axes(node: NodeView) -> set[int] | None:
    rank = node.rank(0)
    return None if rank is None else {axis % rank for axis in node.integers("axes") or [0, 2, 3]}


_STATISTICS = (PER_CHANNEL, PER_CHANNEL - 1, PER_CHANNEL, PER_CHANNEL + 0.5)

OPERATORS: dict[str, Operator] = {
    "BatchNormalization": Operator(
        compute=batch_normalization,
        channels=MapWise(none, evaluated, parameters={1: 0, 2: 0, 3: 0, 4: 1}),
        refuse=refuse_training,
        examples=[
            Example(inputs=[MAPS, *_STATISTICS]),
            Example(inputs=[VECTORS, *_STATISTICS]),
        ],
    ),
    "GroupNormalization": Operator(
        compute=group_normalization,
        channels=ChannelRule("normalises over groups of them"),
        refuse=refuse_scale_per_group,
        examples=[
            Example(
                inputs=[MAPS, PER_CHANNEL, PER_CHANNEL],
                attributes={"num_groups": 2},
                since=21,
                pins="normalises over groups of them",
            )
        ],
    ),
    "InstanceNormalization": Operator(
        compute=instance_normalization,
        channels=MapWise(behind_channels, evaluated, parameters={1: 0, 2: 0}),
        examples=[Example(inputs=[MAPS, PER_CHANNEL, PER_CHANNEL - 1])],
    ),
    "LRN": Operator(
        compute=lrn,
        channels=ChannelRule("normalises over neighbouring ones"),
        examples=pinned(MAPS, reason="normalises over neighbouring ones", size=3),
    ),
    "LayerNormalization": Operator(
        compute=layer_normalization,
        channels=ChannelRule("normalises over them"),
        examples=[
            Example(inputs=[TOKENS, PER_CHANNEL, PER_CHANNEL], since=17, pins="normalises over them"),
        ],
    ),
    "LpNormalization": Operator(
        compute=lp_normalization,
        channels=MapWise(stated_axis(-1), zero_kept, joins="normalises over them"),
        examples=[
            Example(inputs=[MAPS], attributes={"axis": 3}),
            Example(inputs=[MAPS], attributes={"axis": 1}, pins="normalises over them"),
        ],
    ),
    "MeanVarianceNormalization": Operator(
        compute=mean_variance_normalization,
        channels=MapWise(_joint_axes, zero_kept, joins="normalises over them"),
        examples=[
            Example(inputs=[MAPS], since=9),
            Example(inputs=[MAPS], attributes={"axes": [1, 2, 3]}, since=9, pins="normalises over them"),
        ],
    ),
    "RMSNormalization": Operator(
        compute=rms_normalization,
        channels=ChannelRule("normalises over them"),
        examples=[Example(inputs=[TOKENS, PER_CHANNEL], since=23, pins="normalises over them")],
    ),
}
