"""Adaptive average pooling in ONNX, for maps of any size.

Position t of C averages the rows floor(t*H / C) to ceil((t + 1)*H / C), the last one excluded, so the pooling is a
product with two matrices that follow from the size of the map:

    y = P x Q^T        P [C_h, H], Q [C_w, W];  P[t, i] = 1 / rows of t, if (i + 1)*C > t*H and i*C < (t + 1)*H, else 0

PyTorch's exporter writes out the windows of the size that it traces with. The model then runs at other sizes too, but
with those same windows, which are not the ones of the other size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what `torch.onnx.export` takes as its `custom_translation_table`."""
    import torch

    return {torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_average_pool}


def _adaptive_average_pool(x: Any, output_size: Sequence[Any]) -> Any:
    """Write the pooling of `x` `[..., H, W]` to `output_size`, whose entries are int or int64 scalars of the graph."""
    from onnxscript import opset18 as op

    if list(output_size) == [1, 1]:
        return op.ReduceMean(x, op.Constant(value_ints=[-2, -1]), keepdims=1)
    height, width = op.Shape(x, start=-2, end=-1), op.Shape(x, start=-1)
    rows, columns = _windows(height, output_size[0]), _windows(width, output_size[1])
    return op.MatMul(op.MatMul(rows, x), op.Transpose(columns, perm=[1, 0]))


def _windows(size: Any, count: Any) -> Any:
    """Write the matrix P `[count, size]`; `size` is int64 `[1]`, `count` an int or an int64 scalar."""
    from onnxscript import opset18 as op

    count = op.Reshape(count, op.Constant(value_ints=[1]))
    places = op.Mul(_from_one_to(size), count)  # (i + 1) * C
    ends = op.Mul(op.Unsqueeze(_from_one_to(count), 1), size)  # (t + 1) * H
    inside = op.And(op.Greater(places, op.Sub(ends, size)), op.Less(op.Sub(places, count), ends))
    share = op.Cast(inside, to=onnx.TensorProto.FLOAT)
    return op.Div(share, op.ReduceSum(share, op.Constant(value_ints=[1]), keepdims=1))


def _from_one_to(count: Any) -> Any:
    """Write 1, 2, ..., count. Not as a Range, whose length ONNX's shape inference does not find out."""
    from onnxscript import opset18 as op

    one = onnx.numpy_helper.from_array(np.ones(1, np.int64))
    return op.CumSum(op.ConstantOfShape(count, value=one), 0)
