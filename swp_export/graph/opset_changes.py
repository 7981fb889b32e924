"""What changed in ONNX's operators from opset 7 to 18 so that a node has to be written in another way.

All other changes of these opsets admit more (types, negative axes, broadcasting, an attribute whose default is what was
before): a node that was right stays right, and means the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import add_initializer, array_of, unique_name, value_names

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[ir.Node], str | None]


def _axes_become_input(node: ir.Node) -> None:
    _become_input(node, 1, "axes", np.int64)


def _batch_normalization_9(node: ir.Node) -> str | None:
    spatial = node.attributes.pop("spatial", None)
    if spatial is not None and spatial.as_int() != 1:
        return "normalises each position for itself (spatial = 0)"
    return None


def _batch_normalization_14(node: ir.Node) -> str | None:
    if _drop_unused_outputs(node):
        return "is in training mode: it gives the statistics of the batch"
    return None


def _clip_11(node: ir.Node) -> str | None:
    for index, name in ((1, "min"), (2, "max")):
        problem = _become_typed_input(node, index, name)
        if problem is not None:
            return problem
    return None


def _dropout_12(node: ir.Node) -> str | None:
    node.attributes.pop("ratio", None)  # dropped values are for training only
    return "gives its mask" if _drop_unused_outputs(node) else None


def _pad_11(node: ir.Node) -> str | None:
    _become_input(node, 1, "pads", np.int64)
    return _become_typed_input(node, 2, "value")


def _resize_11(node: ir.Node) -> str | None:
    """Resize 10 maps positions by `x / scale`; nearest is the lower neighbour, or the upper one where it shrinks."""
    scales = array_of(node.inputs[1])
    nearest = "mode" not in node.attributes or node.attributes["mode"].as_string() == "nearest"
    shrinks = scales is not None and bool((scales < 1).any())
    if nearest and (scales is None or (shrinks and bool((scales > 1).any()))):
        return "has scales that are not known, or shrink one axis and widen another"
    node.resize_inputs(3)
    node.replace_input_with(2, node.inputs[1])
    node.replace_input_with(1, None)
    node.attributes["coordinate_transformation_mode"] = ir.AttrString("coordinate_transformation_mode", "asymmetric")
    if nearest:
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "ceil" if shrinks else "floor")
    return None


def _resize_13(node: ir.Node) -> str | None:
    mode = node.attributes.get("coordinate_transformation_mode")
    if mode is not None and mode.as_string() == "tf_half_pixel_for_nn":
        return "has the coordinates tf_half_pixel_for_nn"
    for index in range(1, len(node.inputs)):  # "not given" was spelled as an empty tensor
        array = array_of(node.inputs[index])
        if array is not None and array.size == 0:
            node.replace_input_with(index, None)
    return None


def _roi_align_16(node: ir.Node) -> None:
    node.attributes["coordinate_transformation_mode"] = ir.AttrString(
        "coordinate_transformation_mode", "output_half_pixel"
    )


def _scan_9(_: ir.Node) -> str:
    return "scans batches"


def _scatter_11(node: ir.Node) -> None:
    node.op_type = "ScatterElements"


def _slice_10(node: ir.Node) -> None:
    for index, name in enumerate(("starts", "ends", "axes"), start=1):
        _become_input(node, index, name, np.int64)


def _softmax_13(node: ir.Node) -> str | None:
    """Until 13 a softmax runs over all axes from `axis` on, as over one."""
    source, axis = node.inputs[0], _pop_int(node, "axis", 1)
    if source is None or source.shape is None:
        return "has an input of unknown rank"
    rank = len(source.shape)
    axis += rank if axis < 0 else 0
    if axis < rank and all(size == 1 for size in source.shape[axis + 1 :]):
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        return None
    name = node.outputs[0].name or ""
    flat = _before(node, "Flatten", [source], {"axis": axis}, f"{name}/flat")
    shape = _before(node, "Shape", [source], {}, f"{name}/shape")
    result = _before(node, node.op_type, [flat], {"axis": 1}, f"{name}/{node.op_type.lower()}")
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, result)
    node.replace_input_with(1, shape)
    return None


def _split_13(node: ir.Node) -> None:
    _become_input(node, 1, "split", np.int64)


def _split_18(node: ir.Node) -> None:
    if len(node.inputs) < 2 or node.inputs[1] is None:
        node.resize_inputs(1)  # ONNX Runtime takes sizes of the empty name for sizes
        node.attributes["num_outputs"] = ir.AttrInt64("num_outputs", len(node.outputs))


def _top_k_10(node: ir.Node) -> None:
    _become_input(node, 1, "k", np.int64)


def _upsample_9(node: ir.Node) -> None:
    _become_input(node, 1, "scales", np.float32)


def _upsample_10(node: ir.Node) -> str | None:
    node.op_type = "Resize"
    return _resize_11(node)


_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)
CHANGES: dict[str, tuple[tuple[int, Change], ...]] = {
    "BatchNormalization": ((9, _batch_normalization_9), (14, _batch_normalization_14)),
    "Clip": ((11, _clip_11),),
    "Dropout": ((12, _dropout_12),),
    "Hardmax": ((13, _softmax_13),),
    "LogSoftmax": ((13, _softmax_13),),
    "Pad": ((11, _pad_11),),
    "ReduceSum": ((13, _axes_become_input),),
    "Resize": ((11, _resize_11), (13, _resize_13)),
    "RoiAlign": ((16, _roi_align_16),),
    "Scan": ((9, _scan_9),),
    "Scatter": ((11, _scatter_11),),
    "Slice": ((10, _slice_10),),
    "Softmax": ((13, _softmax_13),),
    "Split": ((13, _split_13), (18, _split_18)),
    "Squeeze": ((13, _axes_become_input),),
    "TopK": ((10, _top_k_10),),
    "Unsqueeze": ((13, _axes_become_input),),
    "Upsample": ((9, _upsample_9), (10, _upsample_10)),
    **dict.fromkeys(_REDUCTIONS, ((18, _axes_become_input),)),
}
"""By operator: the opset from which on a node is written in another way, and what writes it so.

A change returns None, or why the node has no equal from that opset on.
"""


def _become_input(node: ir.Node, index: int, name: str, dtype: type[np.generic]) -> None:
    """Make the attribute `name`, if there is one, the constant input `index`."""
    attribute = node.attributes.pop(name, None)
    if attribute is None:
        return
    graph = _graph_of(node)
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    array = np.asarray(attribute.value, dtype).reshape(-1)
    node.replace_input_with(index, add_initializer(graph, f"{node.outputs[0].name}/{name}", array))


def _become_typed_input(node: ir.Node, index: int, name: str) -> str | None:
    """Make the float attribute `name` a scalar input in the type of the first input; return what is in the way."""
    attribute = node.attributes.pop(name, None)
    if attribute is None:
        return None
    source = node.inputs[0]
    if source is None or source.dtype is None:
        return "has an input of unknown type"
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    with np.errstate(over="ignore"):  # the largest float32 is a usual bound, and infinite in float16
        array = np.asarray(attribute.value, np.float32).astype(source.dtype.numpy())
    node.replace_input_with(index, add_initializer(_graph_of(node), f"{node.outputs[0].name}/{name}", array))
    return None


def _graph_of(node: ir.Node) -> ir.Graph:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return graph


def _pop_int(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.pop(name, None)
    return default if attribute is None else attribute.as_int()


def _drop_unused_outputs(node: ir.Node) -> bool:
    """Drop every output but the first; tell whether one of them is used, and stays."""
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return True
    node.resize_outputs(1)
    return False


def _before(node: ir.Node, op_type: str, inputs: list[ir.Value], attributes: dict[str, int], name: str) -> ir.Value:
    """Put a new node called `name` before `node` and return its output, which has a name like it."""
    graph = _graph_of(node)
    new = ir.node(op_type, inputs, attributes, name=name)
    new.outputs[0].name = unique_name(name, value_names(graph))
    graph.insert_before(node, new)
    return new.outputs[0]
