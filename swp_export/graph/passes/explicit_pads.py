"""Write a convolution's padding by name as numbers, where it is the same for every input.

    Conv<auto_pad = VALID>(x)                       ->  Conv<pads = 0>(x)
    Conv<auto_pad = SAME_UPPER, strides = 1>(x)     ->  Conv<pads = [b, e]>(x)      b + e = d*(K-1), the odd one to e
    the same at stride s, of n positions            ->  b + e = max(0, (ceil(n/s) - 1)*s + d*(K-1) + 1 - n)

SAME_LOWER puts the odd one to b. At a stride the padding depends on the size n, so where n is open the name stays, and
the convolution is one that the passes do not understand.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import rank_of


class ExplicitPads(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Conv."""
        modified = False
        for node in model.graph:
            if operator_of(node) == "Conv" and "auto_pad" in node.attributes:
                modified |= _write(node)
        return ir.passes.PassResult(model, modified)


def _write(node: ir.Node) -> bool:
    source, weight = node.inputs[0], node.inputs[1]
    name, rank = node.attributes["auto_pad"].as_string(), None if weight is None else rank_of(weight)
    if name == "NOTSET" or weight is None or weight.shape is None or rank is None:
        return False
    strides, dilations = (_ints(node, key, rank - 2) for key in ("strides", "dilations"))
    pairs = []
    for axis, (stride, dilation) in enumerate(zip(strides, dilations, strict=True), start=2):
        size = None if source is None or source.shape is None else source.shape[axis]
        kernel = weight.shape[axis]
        total = _total(name, size, stride, dilation, kernel)
        if total is None:
            return False
        less = total // 2
        pairs.append((less, total - less) if name == "SAME_UPPER" else (total - less, less))
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", [begin for begin, _ in pairs] + [end for _, end in pairs])
    return True


def _total(name: str, size: object, stride: int, dilation: int, kernel: object) -> int | None:
    """Return how much is padded along one axis, or None where that is not known."""
    if name == "VALID":
        return 0
    if not isinstance(kernel, int):
        return None
    window = dilation * (kernel - 1) + 1
    if stride == 1:
        return window - 1
    return max(0, (-(-size // stride) - 1) * stride + window - size) if isinstance(size, int) else None


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    attribute = node.attributes.get(name)
    return [1] * count if attribute is None else [int(value) for value in attribute.as_ints()]
