"""Which of ONNX's operators a node is.

The name alone does not say: another domain may have an operator that is called `Relu` and computes something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

ONNX_DOMAINS = frozenset(["", "ai.onnx"])
"""The two spellings of the domain of ONNX's own operators."""


def operator_of(node: ir.Node | onnx.NodeProto) -> str:
    """Return the name of the operator of ONNX that `node` is; the empty string for one of any other domain."""
    return node.op_type if node.domain in ONNX_DOMAINS else ""
