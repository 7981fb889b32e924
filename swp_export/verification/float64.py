"""Run an ONNX model in float64, without torch: the reference of a comparison between two ONNX files.

ONNX Runtime's CPU provider has no float64 convolution. ONNX's own reference evaluator has, and runs any dtype; only its
Conv, which dominates, is replaced by one matrix product per tap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Float64Model:
    """`model` with every float32 tensor turned into float64.

    Raises:
        ModelError: it holds an operator that is not ONNX's own.

    """

    def __init__(self, model: ir.Model) -> None:
        promoted = ir.serde.deserialize_model(ir.serde.serialize_model(model))
        _promote(promoted.graph)
        try:
            self._evaluator = ReferenceEvaluator(ir.serde.serialize_model(promoted), new_ops=[Conv])
        except NotImplementedError as error:
            raise ModelError(f"the model cannot be run in float64 to compare with it: {error}") from error
        self._input = next(value.name or "" for value in promoted.graph.inputs if not value.is_initializer())

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name for the input `x` `[N, C, H, W]`."""
        with np.errstate(all="ignore"):  # NumPy warns of an overflow inside a sigmoid that is no mistake
            outputs = self._evaluator.run(None, {self._input: x.astype(np.float64)})
        return dict(zip(self._evaluator.output_names, outputs, strict=True))


def _promote(graph: ir.Graph) -> None:
    """Turn every float32 tensor of `graph` and of its subgraphs into float64."""
    for value in graph.initializers.values():
        if value.const_value is not None and value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float64), name=value.name)
    for value in [*graph.inputs, *graph.outputs, *graph.initializers.values()]:
        if value.dtype == ir.DataType.FLOAT:
            value.dtype = ir.DataType.DOUBLE
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.type, value.shape = None, None
        _promote_attributes(node)


def _promote_attributes(node: ir.Node) -> None:
    """Do the same for a Constant's value, a Cast's target, and subgraphs."""
    constant = array_of(node.outputs[0]) if node.op_type == "Constant" else None
    if constant is not None and constant.dtype == np.float32:
        node.attributes.clear()
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(constant.astype(np.float64)))
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            _promote(attribute.as_graph())
    if node.op_type == "Cast" and node.attributes["to"].as_int() == ir.DataType.FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", ir.DataType.DOUBLE)


class Conv(OpRun):
    """2-D Conv as one matrix product per tap, in the dtype of its input."""

    op_domain = ""

    def _run(
        self,
        x: np.ndarray,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        auto_pad: str | None = None,
        dilations: Sequence[int] | None = None,
        group: int | None = None,
        kernel_shape: Sequence[int] | None = None,  # noqa: ARG002 (the weight states it)
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[np.ndarray]:
        if x.ndim != 4 or min(pads or (0,)) < 0:
            raise ValueError(f"only 2-D Conv with pads that are not negative, got rank {x.ndim}, pads {pads}")
        (s_h, s_w), (d_h, d_w), groups = strides or (1, 1), dilations or (1, 1), group or 1
        filters, channels, k_h, k_w = weight.shape
        if auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
            vertical = _same_pads(x.shape[2], s_h, d_h * (k_h - 1) + 1, upper=auto_pad == "SAME_UPPER")
            horizontal = _same_pads(x.shape[3], s_w, d_w * (k_w - 1) + 1, upper=auto_pad == "SAME_UPPER")
        else:
            top, left, bottom, right = pads or (0, 0, 0, 0)
            vertical, horizontal = (top, bottom), (left, right)
        x = np.pad(x, ((0, 0), (0, 0), vertical, horizontal))
        height = (x.shape[2] - d_h * (k_h - 1) - 1) // s_h + 1
        width = (x.shape[3] - d_w * (k_w - 1) - 1) // s_w + 1
        if height < 1 or width < 1:
            raise ValueError(f"a padded input of {list(x.shape[2:])} is smaller than the kernel {k_h}x{k_w}")
        y = np.zeros((x.shape[0], groups, filters // groups, height * width), x.dtype)
        by_group = weight.reshape(groups, filters // groups, channels, k_h, k_w)
        for i, j in np.argwhere(weight.any(axis=(0, 1))):
            window = x[:, :, d_h * i :: s_h, d_w * j :: s_w][:, :, :height, :width]
            y += by_group[:, :, :, i, j] @ window.reshape(x.shape[0], groups, channels, height * width)
        y = y.reshape(x.shape[0], filters, height, width)
        return (y if bias is None else y + bias[:, None, None],)


def _same_pads(size: int, stride: int, window: int, *, upper: bool) -> tuple[int, int]:
    """Return the pads of one axis that give `ceil(size / stride)` positions; `upper`: the odd one goes to the end."""
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)
