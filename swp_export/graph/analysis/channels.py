"""Which channels of a graph's tensors are one and the same.

Removing a channel must remove it from every tensor that carries it: a Relu's output has the channels of its input, an
Add forces those of both operands onto each other, a Concat lines them up, a Flatten repeats each one. `Channels` gives
every channel an integer; two channels with the same integer stand or fall together (union-find). Operators that are not
understood pin the channels of their inputs and outputs: those are never removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import weight_of
from swp_export.graph.operators import operator_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNARY = frozenset(
    [
        "Abs",
        "BatchNormalization",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tanh",
    ]
)
"""Operators that act on each element, with at most per-channel constants beside it."""
POOLS = frozenset(["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMean", "Resize"])
"""Operators that act on each channel's map; a constant map stays the same constant."""
ELEMENTWISE = frozenset(["Add", "Div", "Max", "Min", "Mul", "Sub", "Sum"])
"""Operators between tensors of the same channels, or with a constant."""


class Channels:
    """The channels of every tensor of `graph`; see the module's docstring."""

    def __init__(self, graph: ir.Graph) -> None:
        self._parent = np.zeros(0, np.int64)
        self._pinned: set[int] = set()
        self._of: dict[ir.Value, np.ndarray] = {}
        self._understood: set[ir.Node] = set()
        for value in graph.inputs:
            self._add_opaque(value)
        for node in graph:
            self._visit(node)
        for value in graph.outputs:
            self._pin(value)

    def of(self, value: ir.Value | None) -> np.ndarray | None:
        """Return the channel identities of axis 1 of `value`, int64 `[C]`, or None where they are not known."""
        if value is None or value not in self._of:
            return None
        return self._roots(self._of[value])

    def understands(self, node: ir.Node) -> bool:
        """Tell whether the channels of `node`'s output follow from those of its inputs."""
        return node in self._understood

    def pinned(self) -> np.ndarray:
        """Return the identities of the channels that must stay, int64."""
        return np.unique(self._roots(np.fromiter(self._pinned, np.int64, len(self._pinned))))

    def __len__(self) -> int:
        """Upper bound of the identities."""
        return self._parent.size

    def _visit(self, node: ir.Node) -> None:
        inputs = [v for v in node.inputs if v is not None and array_of(v) is None]
        output = node.outputs[0]
        channels = self._channels_of_output(node, inputs) if len(node.outputs) == 1 else None
        if channels is None:
            for value in [] if _reads_no_channels(node) else inputs:
                self._pin(value)
            for value in node.outputs:
                self._add_opaque(value)
        else:
            self._of[output] = channels
            self._understood.add(node)
        for value in _captured(node):
            self._pin(value)

    def _channels_of_output(self, node: ir.Node, inputs: Sequence[ir.Value]) -> np.ndarray | None:
        """Return the channels of `node`'s output, or None where the operator is not understood."""
        maps = maps_of_product(node)
        if maps is not None:
            for value in inputs:
                if value is not maps:
                    self._pin(value)  # a matrix that is computed: each of its columns is read
            return self._of.get(maps)
        known = [self._of[v] for v in inputs if v in self._of]
        if not known or len(known) != len(inputs):
            return None
        op = operator_of(node)
        if op == "Concat":
            return np.concatenate(known) if _is_along_channels(node) and len(known) == len(node.inputs) else None
        if op in ELEMENTWISE:
            return self._united(node, known)
        if len(inputs) != 1:
            return None
        (channels,) = known
        if op in UNARY or (op in POOLS and _is_spatial(node)) or is_depthwise(node, channels.size):
            return channels
        if op == "Flatten":
            return _flattened(node, channels)
        weight = weight_matrix(node)
        return None if weight is None or weight.shape[1] != channels.size else self._fresh(weight.shape[0])

    def _united(self, node: ir.Node, operands: Sequence[np.ndarray]) -> np.ndarray | None:
        first = operands[0]
        ranks = {rank_of(v) for v in node.inputs if v is not None and array_of(v) is None}
        if any(channels.size != first.size for channels in operands) or len(ranks) != 1 or None in ranks:
            return None
        (rank,) = ranks
        for value in node.inputs:
            constant = array_of(value)
            if constant is not None and not _is_per_channel(constant, first.size, rank or 0):
                return None
        for channels in operands[1:]:
            for a, b in zip(self._roots(first), self._roots(channels), strict=True):
                low, high = min(a, b), max(a, b)
                self._parent[high] = low
        return first

    def _roots(self, channels: np.ndarray) -> np.ndarray:
        while True:
            parents: np.ndarray = self._parent[channels]
            if np.array_equal(parents, channels):
                return parents
            channels = parents

    def _fresh(self, count: int) -> np.ndarray:
        start = self._parent.size
        fresh = np.arange(start, start + count, dtype=np.int64)
        self._parent = np.concatenate([self._parent, fresh])
        return fresh

    def _add_opaque(self, value: ir.Value) -> None:
        shape = value.shape
        if shape is not None and len(shape) >= 2 and isinstance(shape[1], int):
            self._of[value] = self._fresh(shape[1])
            self._pin(value)

    def _pin(self, value: ir.Value) -> None:
        if value in self._of:
            self._pinned.update(self._of[value].tolist())


def weight_matrix(node: ir.Node) -> np.ndarray | None:
    """Return the constant weight of a group-1 Conv, or of a Gemm or MatMul as `[N, C]`; None for other nodes."""
    if operator_of(node) == "Conv":
        return weight_of(node)
    if operator_of(node) not in {"Gemm", "MatMul"} or array_of(node.inputs[0]) is not None:
        return None
    weight = array_of(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        return None
    if operator_of(node) == "MatMul":
        return weight.T if rank_of(node.inputs[0]) == 2 else None
    for name in ("alpha", "beta"):
        if name in node.attributes and node.attributes[name].as_float() != 1:
            return None
    if "transA" in node.attributes and node.attributes["transA"].as_int():
        return None
    weight = weight if is_transposed(node) else weight.T
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = array_of(node.inputs[2])
        if bias is None or bias.size not in {1, len(weight)} or (bias.size > 1 and bias.shape[-1] != len(weight)):
            return None
    return weight


def maps_of_product(node: ir.Node) -> ir.Value | None:
    """Return the `[N, C, H, W]` of a MatMul that multiplies each channel's map with one matrix, from either side."""
    if operator_of(node) != "MatMul":
        return None
    maps = [value for value in node.inputs if value is not None and rank_of(value) == 4]
    matrices = [value for value in node.inputs if value is not None and rank_of(value) == 2]
    return maps[0] if len(maps) == len(matrices) == 1 and array_of(maps[0]) is None else None


def is_transposed(node: ir.Node) -> bool:
    """Tell whether a Gemm `node` keeps its weight as `[N, C]` (transB)."""
    return "transB" in node.attributes and bool(node.attributes["transB"].as_int())


def is_depthwise(node: ir.Node, channels: int) -> bool:
    """Tell whether `node` is a 2-D Conv with plain pads and one constant filter for each of its `channels`."""
    weight = weight_of(node, group=channels)
    return weight is not None and channels == weight.shape[0] != 1


def rank_of(value: ir.Value | None) -> int | None:
    """Return the number of axes of `value`, None where it is not known."""
    return None if value is None or value.shape is None else len(value.shape)


def _reads_no_channels(node: ir.Node) -> bool:
    """Tell whether `node` asks for the size of other axes than that of the channels."""
    if operator_of(node) != "Shape":
        return False
    rank = rank_of(node.inputs[0])
    if rank is None:
        return False
    start = node.attributes["start"].as_int() if "start" in node.attributes else 0
    end = node.attributes["end"].as_int() if "end" in node.attributes else rank
    return 1 not in range(rank)[start:end]


def _captured(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what the subgraphs of an If, Loop or Scan read, values of the graph around it among them."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            subgraph = attribute.as_graph()
            yield from subgraph.outputs
            for inner in subgraph:
                yield from (value for value in inner.inputs if value is not None)
                yield from _captured(inner)


def _is_along_channels(concat: ir.Node) -> bool:
    axis, rank = concat.attributes["axis"].as_int(), rank_of(concat.inputs[0])
    return axis == 1 or (rank is not None and axis + rank == 1)


def _is_spatial(node: ir.Node) -> bool:
    """Tell whether one of POOLS acts on all axes behind the channels, or on some of them, and on no other."""
    operator = operator_of(node)
    if operator == "Resize":
        return _resizes_maps(node)
    if not operator.startswith("Reduce"):
        return True
    axes = array_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None and "axes" in node.attributes:
        axes = np.array(node.attributes["axes"].as_ints())
    rank = rank_of(node.inputs[0])
    if axes is None or axes.size == 0 or rank is None:  # without axes all are reduced, or none
        return False
    return sorted(int(a) % rank for a in axes) == list(range(2, rank))


def _resizes_maps(node: ir.Node) -> bool:
    """Tell whether a Resize leaves batch and channels alone, and puts no other value beside a map."""
    mode = node.attributes.get("coordinate_transformation_mode")
    if mode is not None and mode.as_string() == "tf_crop_and_resize":
        return False
    rank = rank_of(node.inputs[0])
    scales, sizes = (array_of(node.inputs[index]) if len(node.inputs) > index else None for index in (2, 3))
    if rank is None or (scales is None) == (sizes is None):
        return False
    if "axes" in node.attributes:
        return all(int(axis) % rank > 1 for axis in node.attributes["axes"].as_ints())
    return scales is not None and scales.size == rank and bool((scales[:2] == 1).all())


def _is_per_channel(constant: np.ndarray, channels: int, rank: int) -> bool:
    """Tell whether `constant` is a scalar, or `[C, 1, 1]` or `[1, C, 1, 1]` against a tensor `[N, C, H, W]`.

    It must be finite: zero times infinity is no zero.
    """
    if not np.isfinite(constant).all():
        return False
    if constant.size == 1:
        return constant.ndim <= rank
    shape = constant.shape[1:] if constant.ndim == 4 and constant.shape[0] == 1 else constant.shape
    return rank == 4 and shape == (channels, 1, 1)


def _flattened(node: ir.Node, channels: np.ndarray) -> np.ndarray | None:
    """Return the columns of a Flatten `[N, C, H, W] -> [N, C*H*W]`: each channel H*W times."""
    shape = node.outputs[0].shape
    if "axis" in node.attributes and node.attributes["axis"].as_int() != 1:
        return None
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] % channels.size:
        return None
    return np.repeat(channels, shape[1] // channels.size)
