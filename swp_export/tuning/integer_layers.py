"""A layer by itself in int8, as a model to be measured: what it takes does not depend on where its values lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from swp_export.graph.files.writing import serialized
from swp_export.precision.qdq import quantise, unit_ranges
from swp_export.tuning.layer_case import layer_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.precision.scheme import Scheme
    from swp_export.tuning.layer_case import LayerCase

INTEGER_LOWERINGS = (
    "dense",
    "shift-sum",
    "shift-sum(2)",
    "shift-sum(4)",
    "shift-sum(8)",
    "shift",
    "split(2, shift-sum)",
    "split(2, dense)",
    "cropped",
)
"""What is tried in int8. The others accumulate by Add, each of which rounds and is a slow kernel, or move rows that are
as fast in float32: on every layer measured they were behind `dense`."""


def integer_layer_model(scheme: Scheme) -> Callable[[LayerCase, str, int], bytes]:
    """Return what writes a layer in int8 between two others, by the name of a lowering."""

    def write(case: LayerCase, name: str, multiple: int) -> bytes:
        model = ir.from_proto(onnx.ModelProto.FromString(layer_model(case, name, multiple)))
        quantise(model, [case.conv.name], unit_ranges(model, [case.conv.name]), scheme)
        return serialized(model, {})

    return write
