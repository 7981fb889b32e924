"""A long Gemm written as a chain of shorter ones, each added to the sum so far, and back.

    ChainGemm:     Gemm(x; W, b)  ->  x1, ..., x4 = Split(x);  Gemm(x4; W4, Gemm(x3; W3, Gemm(x2; W2, Gemm(x1; W1, b))))
    UnchainGemm:   the same from right to left, bit for bit

Exact in real arithmetic. In float32 a runtime adds the products of an output one after another (ONNX Runtime up to 256
of them), and each addition is off by a share of the sum so far, which behind a Relu grows with the number of products:
K errors of up to eps/2 * S for a logit S. A piece starts from zero and ends at about S/4, and only the PIECES additions
of one piece to the others are of the size of S. `make bench` prints the error of the VGG16 here, whose classifier adds
248 products, as a chain and as one Gemm. A runtime that starts a Gemm from its third input, instead of adding it last,
gains nothing and loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.builder import LayerBuilder
from swp_export.graph.constants import array_of
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.products import is_transposed
from swp_export.graph.operators.table import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PIECES = 4
"""An error of about (K/PIECES + PIECES) units: more pieces gain little where K is a few hundred."""
LEAST = 16
"""Products of a piece, at least: a Gemm of fewer than PIECES * LEAST stays as it is."""


class ChainGemm(ir.passes.InPlacePass):
    """Write every long Gemm with constant weight and bias as a chain."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Gemm."""
        modified = False
        for node in list(model.graph):
            weights = weights_of(node) if operator_of(node) == "Gemm" else None
            if weights is not None and weights.channels >= PIECES * LEAST:
                _chain(model.graph, node, weights.weight)
                modified = True
        return ir.passes.PassResult(model, modified)


class UnchainGemm(ir.passes.InPlacePass):
    """Write every chain as the Gemm that it was."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Split of ours."""
        modified = False
        for node in [node for node in model.graph if operator_of(node) == "Split" and LAYER in node.metadata_props]:
            gemms = _gemms(node)
            if gemms is not None:
                _unchain(model.graph, node, gemms)
                modified = True
        return ir.passes.PassResult(model, modified)


def _chain(graph: ir.Graph, node: ir.Node, weight: np.ndarray) -> None:
    source, total, transposed = node.inputs[0], _bias(node), is_transposed(node)
    assert source is not None
    layer = node.name or node.outputs[0].name or ""
    _drop_constants(graph, [node])
    builder = LayerBuilder(graph, layer)
    pieces = np.array_split(weight, PIECES, axis=1)
    parts = builder.split(source, [piece.shape[1] for piece in pieces], "pieces")
    for part, piece in zip(parts, pieces, strict=True):
        total = _gemm(builder, part, piece if transposed else piece.T, total, transposed=transposed)
    assert total is not None
    ir.convenience.replace_nodes_and_values(graph, node, [node], builder.nodes, node.outputs, [total])


def _unchain(graph: ir.Graph, split: ir.Node, gemms: Sequence[ir.Node]) -> None:
    source, transposed = split.inputs[0], is_transposed(gemms[0])
    assert source is not None
    weights = [array for gemm in gemms if (array := array_of(gemm.inputs[1])) is not None]
    _drop_constants(graph, [split, *gemms])
    builder = LayerBuilder(graph, split.metadata_props[LAYER])
    weight = np.concatenate(weights, axis=1 if transposed else 0)
    total = _gemm(builder, source, weight, _bias(gemms[0]), transposed=transposed)
    (whole,) = builder.nodes
    whole.name = builder.layer
    whole.metadata_props.clear()
    ir.convenience.replace_nodes_and_values(graph, split, [split, *gemms], builder.nodes, gemms[-1].outputs, [total])


def _gemms(split: ir.Node) -> list[ir.Node] | None:
    """Return the chain of Gemms that reads the outputs of `split`, or None where another operator reads one."""
    found: list[ir.Node] = []
    for part in split.outputs:
        node = next((use.node for use in part.uses()), None)
        if (
            node is None
            or operator_of(node) != "Gemm"
            or node.inputs[0] is not part
            or array_of(node.inputs[1]) is None
        ):
            return None
        if found and _bias(node) is not found[-1].outputs[0]:
            return None
        found.append(node)
    return found


def _gemm(
    builder: LayerBuilder, x: ir.Value, weight: np.ndarray, total: ir.Value | None, *, transposed: bool
) -> ir.Value:
    inputs = [x, builder.weights(weight, "weight"), *([] if total is None else [total])]
    return builder.op("Gemm", inputs, "gemm", {"transB": 1} if transposed else None)


def _bias(node: ir.Node) -> ir.Value | None:
    return node.inputs[2] if len(node.inputs) > 2 else None


def _drop_constants(graph: ir.Graph, nodes: Sequence[ir.Node]) -> None:
    """Remove weights and sizes that nothing but `nodes` reads: first, so that the new ones may take their names."""
    for value in [node.inputs[1] for node in nodes]:
        if value is not None and value.is_initializer() and all(use.node in nodes for use in value.uses()):
            del graph.initializers[value.name or ""]
