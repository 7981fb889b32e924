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

if TYPE_CHECKING:
    from collections.abc import Sequence


class Float64Model:
    """`model` with every float32 tensor turned into float64."""

    def __init__(self, model: ir.Model) -> None:
        promoted = ir.serde.deserialize_model(ir.serde.serialize_model(model))
        graph = promoted.graph
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
        self._evaluator = ReferenceEvaluator(ir.serde.serialize_model(promoted), new_ops=[Conv])
        self._input = graph.inputs[0].name

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name for the input `x` `[N, C, H, W]`."""
        outputs = self._evaluator.run(None, {self._input: x.astype(np.float64)})
        return dict(zip(self._evaluator.output_names, outputs, strict=True))


class Conv(OpRun):  # type: ignore[misc]
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
        if x.ndim != 4 or auto_pad not in {None, "NOTSET"}:
            raise ValueError(f"only 2-D Conv with explicit pads, got rank {x.ndim}, auto_pad {auto_pad}")
        top, left, bottom, right = pads or (0, 0, 0, 0)
        (s_h, s_w), (d_h, d_w), groups = strides or (1, 1), dilations or (1, 1), group or 1
        filters, channels, k_h, k_w = weight.shape
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
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
