"""Checks of a stored tensor: its type is known, and it holds as many numbers as its dimensions declare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx

from swp_export.errors import ModelError

if TYPE_CHECKING:
    from onnx import TensorProto

MOST_DIMENSIONS = 64
_PACKED = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Bits of a value that fills no byte."""


def require_sound_tensor(tensor: TensorProto, external: int | None = None) -> None:
    """Check that `tensor` holds as many bytes as its dimensions declare, in another file so many if they are known.

    Raises:
        ModelError: it does not, or its type is unknown.

    """
    name = require_known_type(tensor.data_type, f"tensor {tensor.name!r}")
    dims = [*tensor.dims[: MOST_DIMENSIONS + 1]]
    if len(dims) > MOST_DIMENSIONS or any(dim < 0 for dim in dims):
        raise ModelError(f"declares tensor {tensor.name!r} as {dims[:8]}, which is no shape")
    if tensor.data_location == onnx.TensorProto.EXTERNAL and external is None:
        return
    count = math.prod(dims)
    expected, found, unit = count, len(tensor.string_data), "strings"
    if tensor.data_type != onnx.TensorProto.STRING:
        if external is not None or tensor.HasField("raw_data"):
            bits = _PACKED.get(name) or 8 * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            held = len(tensor.raw_data) if external is None else external
            expected, found, unit = -(-count * bits // 8), held, "bytes"
        else:
            expected, found, unit = _listed(tensor, name, count)
    if expected != found:
        raise ModelError(
            f"declares tensor {tensor.name!r} as {name} {dims}, {expected:,} {unit}, and holds {found:,}; it is damaged"
        )


def require_known_type(number: int, of: str, *, undefined: bool = False) -> str:
    """Return the name of data type `number`, which the file declares for `of`.

    Raises:
        ModelError: it is unknown; or UNDEFINED, unless that too is allowed.

    """
    known = onnx.TensorProto.DataType.values()
    if number not in known or (number == onnx.TensorProto.UNDEFINED and not undefined):
        raise ModelError(f"declares {of} with data type {number}, which ONNX {onnx.__version__} does not know")
    name: str = onnx.TensorProto.DataType.Name(number)
    return name


def _listed(tensor: TensorProto, name: str, count: int) -> tuple[int, int, str]:
    """Return how many numbers `tensor` needs and has in its list of numbers, and what they are."""
    field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    pairs = 2 if name.startswith("COMPLEX") else 1
    bits = _PACKED.get(name)
    expected = count * pairs if bits is None else -(-count * bits // 8)
    return expected, len(getattr(tensor, field)), "numbers"
