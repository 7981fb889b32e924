"""What is known of a vector of sizes that a graph computes: `[batch of x, 64, -1]` of Concat(Shape(x)[0], [64], [-1]).

ONNX's shape inference follows such vectors through a few operators; exporters write them in many more ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.graph.constants import array_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import shape_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from swp_export.graph.operators.node_view import Dim

_DEEPEST = 16
"""Nodes that a vector is followed back through."""


def sizes_of(value: ir.Value | None, depth: int = _DEEPEST) -> list[Dim] | None:
    """Return the numbers in a scalar or vector of integers: int where known, a name of a size, or None.

    None where even their number is unknown.
    """
    array, shape = array_of(value), shape_of(value)
    if array is not None:
        return [int(number) for number in array.reshape(-1)] if array.dtype.kind in "iu" and array.ndim < 2 else None
    node = None if value is None else value.producer()
    found = None if node is None or depth == 0 else _computed(node, depth - 1)
    if found is not None:
        return found
    if shape is None or len(shape) > 1:
        return None
    count = shape[0] if shape else 1
    unknown: list[Dim] = [None]
    return unknown * count if isinstance(count, int) else None


def _computed(node: ir.Node, depth: int) -> list[Dim] | None:
    operator = operator_of(node)
    if operator == "Concat":
        parts = [sizes_of(value, depth) for value in node.inputs]
        return None if None in parts else [size for part in parts if part is not None for size in part]
    source = node.inputs[0] if node.inputs else None
    if operator == "Shape":
        shape = shape_of(source)
        start, end = (node.attributes[name].as_int() if name in node.attributes else None for name in ("start", "end"))
        return None if shape is None else list(shape)[slice(start, end)]
    if operator in _SAME:
        return sizes_of(source, depth)
    if operator == "Gather":
        sizes, indices = sizes_of(source, depth), array_of(node.inputs[1])
        if sizes is None or indices is None or indices.ndim > 1 or not indices.size:
            return None
        chosen = [int(index) for index in indices.reshape(-1)]
        return [sizes[index] for index in chosen] if max(map(abs, chosen)) < len(sizes) else None
    return _sliced(node, sizes_of(source, depth)) if operator == "Slice" else None


_SAME = frozenset(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"])
"""Operators behind which the numbers are the same, in the same order."""


def _sliced(node: ir.Node, sizes: list[Dim] | None) -> list[Dim] | None:
    arrays = [array_of(value) for value in node.inputs[1:]]
    bounds = [int(array.reshape(-1)[0]) for array in arrays if array is not None and array.size == 1]
    if sizes is None or len(bounds) != len(arrays) or len(bounds) < 2:
        return None
    return sizes[bounds[0] : bounds[1] : bounds[3] if len(bounds) > 3 else 1]
