"""THE table of operators: what ONNX calls them -> what is known of each.

Every row holds at every opset from `OLDEST_OPSET` to `NEWEST_OPSET` at which ONNX defines the operator. An operator
that is not here cannot be verified, and keeps every channel that it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.graph.operators import (
    activation,
    arithmetic,
    blocks,
    convolution,
    creation,
    indexing,
    joining,
    normalisation,
    padding,
    pooling,
    products,
    recurrent,
    reduction,
    resizing,
    sampling,
    shaping,
)
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.rules.weighted import Weighted

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.operators.operator import Operator
    from swp_export.graph.operators.weights import Weights

OLDEST_OPSET = 7
"""The oldest opset that ONNX Runtime promises to run."""
NEWEST_OPSET = 26
"""The newest opset that ONNX Runtime 1.31 runs, and the definitions here were compared at."""

OPERATORS: dict[str, Operator] = {
    **activation.OPERATORS,
    **arithmetic.OPERATORS,
    **blocks.OPERATORS,
    **convolution.OPERATORS,
    **creation.OPERATORS,
    **indexing.OPERATORS,
    **joining.OPERATORS,
    **normalisation.OPERATORS,
    **padding.OPERATORS,
    **pooling.OPERATORS,
    **products.OPERATORS,
    **recurrent.OPERATORS,
    **reduction.OPERATORS,
    **resizing.OPERATORS,
    **sampling.OPERATORS,
    **shaping.OPERATORS,
}

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
"""Operators whose output no input determines."""

QUANTISED = (
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
)
"""Operators of networks that mean their own rounding: without it they are other networks."""


def operator(node: ir.Node) -> Operator | None:
    """Return the row of `node`, None where there is none."""
    return OPERATORS.get(operator_of(node))


def weighted(node: ir.Node) -> Weighted | None:
    """Return the rule of a convolution or matrix product, None of other nodes."""
    row = operator(node)
    return row.channels if row is not None and isinstance(row.channels, Weighted) else None


def weights_of(node: ir.Node) -> Weights | None:
    """Return the constants of a convolution or matrix product, None where they cannot be told or it is none."""
    rule = weighted(node)
    return None if rule is None else rule.weights(node)
