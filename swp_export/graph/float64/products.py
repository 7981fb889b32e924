"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from swp_export.graph.float64.call import Call


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
