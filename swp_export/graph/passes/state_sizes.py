"""State sizes that a graph computes from those it has, so that the channels can be followed.

    Reshape(x, Concat(Shape(x)[0], [-1]))               ->  Reshape(x, [0, -1])
    Reshape(x [N, 64], [-1, 64, 1, 1])                  ->  Reshape(x, [0, 64, 1, 1])
    Resize(x, sizes = Concat(Shape(x)[0:2], [H, W]))    ->  Resize<axes = [2, 3]>(x, sizes = [H, W])

In the target of a Reshape 0 means the size of the input, and -1 what is left; it can say one size that is not known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.sizes import sizes_of
from swp_export.graph.constants import add_initializer, array_of, set_input
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.node_view import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.node_view import Dim


_AXES_OF_RESIZE = 18
"""The opset from which on a Resize may leave axes out."""


class StateSizes(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Reshape and Resize."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "Reshape":
                modified |= _state_target(node)
            elif _is_resized_to_sizes(node) and model.opset_imports.get("", 0) >= _AXES_OF_RESIZE:
                modified |= _leave_out_kept(model.graph, node)
        return ir.passes.PassResult(model, modified)


def _is_resized_to_sizes(node: ir.Node) -> bool:
    return operator_of(node) == "Resize" and len(node.inputs) > 3 and node.inputs[3] is not None


def _state_target(node: ir.Node) -> bool:
    sizes, shape = sizes_of(node.inputs[1]), shape_of(node.inputs[0])
    if sizes is None or shape is None:
        return False
    if 0 in sizes and "allowzero" in node.attributes and node.attributes["allowzero"].as_int():
        return False
    target = [
        size if isinstance(size, int) else 0 if size is not None and shape[axis : axis + 1] == (size,) else -1
        for axis, size in enumerate(sizes)
    ]
    if target.count(-1) > 1:
        return False
    place = target.index(-1) if -1 in target else len(shape)
    if place < len(shape) and _is_what_is_left(place, target, shape):
        target[place] = 0
    if array_of(node.inputs[1]) is not None and sizes == target:
        return False
    set_input(node, 1, "shape", np.array(target, np.int64))
    node.attributes.pop("allowzero", None)  # PyTorch states it where no size is zero
    return True


def _is_what_is_left(place: int, target: Sequence[int], shape: Sequence[Dim]) -> bool:
    """Tell whether the -1 at `place` of a target is the size of the input there: the others hold as many elements."""
    before = [size for axis, size in enumerate(shape) if axis != place]
    after = [shape[axis] if size == 0 else size for axis, size in enumerate(target) if axis != place]
    return (
        shape[place] is not None
        and all(isinstance(size, int) and size > 0 for size in (*before, *after))
        and math.prod(before) == math.prod(after)  # type: ignore[arg-type]  # they are
    )


def _leave_out_kept(graph: ir.Graph, node: ir.Node) -> bool:
    """Resize only the axes behind the channels, where the others keep their size."""
    sizes, shape = sizes_of(node.inputs[3]), shape_of(node.inputs[0])
    mode = node.attributes.get("coordinate_transformation_mode")
    if sizes is None or shape is None or len(shape) != len(sizes) or len(sizes) < 3 or "axes" in node.attributes:
        return False
    if not _are_kept(sizes[:2], shape[:2]) or (mode is not None and mode.as_string() == "tf_crop_and_resize"):
        return False
    behind = _from(graph, node, 2)
    if behind is None:
        return False
    node.replace_input_with(3, behind)
    node.attributes["axes"] = ir.AttrInt64s("axes", [*range(2, len(sizes))])
    return True


def _are_kept(sizes: Sequence[Dim], shape: Sequence[Dim]) -> bool:
    return all(a is not None and a == b for a, b in zip(sizes, shape, strict=True))


def _from(graph: ir.Graph, node: ir.Node, start: int) -> ir.Value | None:
    """Return the sizes of a Resize from `start` on, without what computes those before; None where they are mixed."""
    value = node.inputs[3]
    assert value is not None
    array, producer = array_of(value), value.producer()
    if array is not None:
        return add_initializer(graph, f"{node.name or node.outputs[0].name}.sizes", array[start:])
    if producer is None or operator_of(producer) != "Concat":
        return None
    lengths = np.cumsum([len(sizes_of(part) or []) for part in producer.inputs])
    if start not in lengths:
        return None
    left = producer.inputs[int(np.flatnonzero(lengths == start)[-1]) + 1 :]
    if len(left) == 1:
        return left[0]
    name = f"{producer.name or value.name}_behind"
    joined = ir.Node("", "Concat", left, [ir.AttrInt64("axis", 0)], num_outputs=1, name=name)
    joined.outputs[0].name = name
    joined.outputs[0].type, joined.outputs[0].shape = value.type, ir.Shape([len(sizes_of(value) or []) - start])
    graph.insert_before(node, joined)
    return joined.outputs[0]
