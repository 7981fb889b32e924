"""Matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.examples import MAPS, PER_CHANNEL, TOKENS, VECTORS, pinned
from swp_export.graph.operators.node_view import Pins
from swp_export.graph.operators.operator import ChannelRule, Example, Operator, Tensor
from swp_export.graph.operators.rules.weighted import Weighted
from swp_export.graph.operators.weights import Weights, floats_of, has_input, put_bias, put_weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.call import Call
    from swp_export.graph.operators.fixed_maps import FixedMaps
    from swp_export.graph.operators.node_view import Layout, NodeView, Places
    from swp_export.graph.operators.operator import Evaluate, Known, Reads


def gemm(call: Call) -> np.ndarray:
    """`alpha * A @ B + beta * C`, each matrix transposed where asked for."""
    a, b, c = call.input(0), call.input(1), call.optional(2)
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"matrices of rank {a.ndim} and {b.ndim}, expected 2")
    a = a.T if call.integer("transA", 0) else a
    b = b.T if call.integer("transB", 0) else b
    y = _scaled(a @ b, call.real("alpha", 1.0))
    return y if c is None else np.broadcast_to(_scaled(c, call.real("beta", 1.0)), y.shape) + y


def matmul(call: Call) -> np.ndarray:
    """Return the product of the last two axes, the others broadcast."""
    return np.asarray(np.matmul(call.input(0), call.input(1)))


def einsum(call: Call) -> np.ndarray:
    """Return sums of products over named axes."""
    operands = [call.input(index) for index in range(len(call.inputs))]
    return np.asarray(np.einsum(call.text("equation", "").replace(" ", ""), *operands, optimize=True))


def _scaled(matrix: np.ndarray, factor: float) -> np.ndarray:
    return matrix if factor == 1 else (matrix * factor).astype(matrix.dtype)


def _read_gemm(node: ir.Node) -> Weights | Pins:
    weight, bias = floats_of(node, 1), floats_of(node, 2)
    if weight is None or weight.ndim != 2 or (bias is None and has_input(node, 2)):
        return Pins("computes its weight or bias")
    if any(name in node.attributes and node.attributes[name].as_float() != 1 for name in ("alpha", "beta")):
        return Pins("scales its product")
    if "transA" in node.attributes and node.attributes["transA"].as_int():
        return Pins("transposes what it reads")
    weight = weight if is_transposed(node) else weight.T
    if bias is not None:
        if bias.size not in {1, len(weight)} or (bias.size > 1 and bias.shape[-1] != len(weight)):
            return Pins("adds another matrix")
        bias = np.broadcast_to(bias.reshape(-1), (len(weight),))
    return Weights(weight=weight, bias=bias, padded=np.zeros((), bool), in_place=True)


def _write_gemm(node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int) -> None:
    del group
    put_weight(node, weight if is_transposed(node) else weight.T)
    put_bias(node, bias)


def is_transposed(node: ir.Node) -> bool:
    """Tell whether a Gemm keeps its weight as `[N, C]`."""
    return "transB" in node.attributes and bool(node.attributes["transB"].as_int())


def _read_matmul(node: ir.Node) -> Weights | Pins:
    weight, shape = floats_of(node, 1), node.inputs[0].shape if node.inputs[0] is not None else None
    if weight is None or weight.ndim != 2 or shape is None or len(shape) < 2:
        return Pins("multiplies them with a matrix that is computed")
    return Weights(
        weight=weight.T, bias=None, axis=len(shape) - 1, holds_bias=False, padded=np.zeros((), bool), in_place=True
    )


def _write_matmul(node: ir.Node, weight: np.ndarray, bias: np.ndarray | None, group: int) -> None:
    del bias, group
    put_weight(node, weight.T)


class _Product(Weighted):
    """A matrix applied to the channels, or to each map of `[N, C, H, W]`, from either side, as pooling is written."""

    def flow(self, node: NodeView) -> tuple[Layout | None, ...] | Pins:
        """Pass the channels of maps on; a matrix that is computed has its columns read."""
        maps = self._maps(node)
        if maps is None:
            return super().flow(node)
        layout = node.layout(maps)
        assert layout is not None
        node.pin(1 - maps, "multiplies them with maps")
        return (layout,)

    def constants(self, node: NodeView, known: Sequence[Known | None], evaluate: Evaluate) -> tuple[Known | None, ...]:
        """Of a map nothing is known but that zeros stay zeros."""
        maps = self._maps(node)
        if maps is None:
            return super().constants(node, known, evaluate)
        values = known[maps]
        return (None if values is None else np.where(values == 0, 0.0, np.nan),)

    def fixed_maps(
        self, node: NodeView, known: Sequence[FixedMaps | None], evaluate: Evaluate
    ) -> tuple[FixedMaps | None, ...]:
        """Of maps that are multiplied themselves zeros alone are known."""
        if self._maps(node) is None:
            return super().fixed_maps(node, known, evaluate)
        return ChannelRule.fixed_maps(self, node, known, evaluate)

    def reads(self, node: NodeView) -> Reads | None:
        """Return which channels are read, where they are what is multiplied."""
        return super().reads(node) if self._maps(node) is None else None

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Cut the matrix where it is applied to channels."""
        if self._maps(node) is None:
            super().take(node, inputs, outputs)

    def _maps(self, node: NodeView) -> int | None:
        """Return which input is maps `[..., C, ..., H, W]` that the other, of rank 2, is applied to."""
        for index in (0, 1):
            layout, rank = node.layout(index), node.rank(index) or 0
            if layout is not None and node.rank(1 - index) == 2 and layout.axis < rank - 2:
                return index
        return None


def _products(weight: Sequence[int], x: Sequence[int], y: Sequence[int]) -> int:
    """Each element of the output sums over the channels, whichever way the weight `[C, N]` is stored."""
    del x
    return 2 * math.prod(y) * math.prod(weight[-2:]) // y[-1]


_MATRIX = np.sin(np.arange(24, dtype=np.float32) + 1).reshape(4, 6) * (np.arange(6) != 2)

OPERATORS: dict[str, Operator] = {
    "Einsum": Operator(
        compute=einsum,
        channels=ChannelRule("sums over them as an equation says"),
        examples=pinned(VECTORS, VECTORS, reason="sums over them", equation="ij,kj->ik"),
    ),
    "Gemm": Operator(
        compute=gemm,
        channels=Weighted(_read_gemm, _write_gemm),
        flops=_products,
        examples=[
            Example(inputs=[VECTORS, _MATRIX, PER_CHANNEL[:4]], attributes={"transB": 1}),
            Example(inputs=[VECTORS, _MATRIX.T.copy()], since=11),
            Example(inputs=[VECTORS, _MATRIX.T.copy(), np.ones(1, np.float32)]),
            Example(inputs=[VECTORS, _MATRIX.T.copy(), PER_CHANNEL[:4]], attributes={"alpha": 0.5}, pins="scales"),
            Example(inputs=[VECTORS, Tensor(shape=(6, 4), axis=None)], since=11, pins="computes its weight"),
        ],
    ),
    "MatMul": Operator(
        compute=matmul,
        channels=_Product(_read_matmul, _write_matmul),
        flops=_products,
        examples=[
            Example(inputs=[VECTORS, _MATRIX.T.copy()]),
            Example(inputs=[TOKENS, _MATRIX.T.copy()]),
            Example(inputs=[MAPS, np.ones((4, 3), np.float32)]),
            Example(inputs=[np.ones((3, 5), np.float32), MAPS]),
            Example(inputs=[TOKENS, Tensor(shape=(2, 6, 4), axis=None)], pins="matrix that is computed"),
        ],
    ),
}
