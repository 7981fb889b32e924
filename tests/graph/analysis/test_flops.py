"""FLOPs of nodes, whatever the graph computes their shapes with."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import model_from_text

from swp_export.errors import ModelError
from swp_export.graph.analysis.flops import node_flops

BEHIND_RANGE = (
    "s = Shape (x) b = Gather (s, zero) i = Range (zero, b, one) g = Gather <axis = 0> (x, i) y = MatMul (g, w)"
)
NUMBERS = {"zero": np.array(0), "one": np.array(1)}


def test_shapes_that_are_not_inferred_are_run() -> None:
    """ONNX's inference does not follow a Range; one run gives the size, and 2 * 3 * 4 multiply-adds count double."""
    model = model_from_text(
        BEHIND_RANGE, x="float[N, 3] x", y="float[N, 4] y", w=np.ones((3, 4), np.float32), **NUMBERS
    )
    assert node_flops(ir.to_proto(model), (2, 3)) == [0, 0, 0, 0, 2 * 2 * 3 * 4]


def test_what_cannot_be_run_is_named() -> None:
    """Where the run fails too, the node whose shape is not known is named."""
    model = model_from_text(
        BEHIND_RANGE.replace("Range (zero, b, one)", "Range (zero, b, zero)"),
        x="float[N, 3] x",
        y="float[N, 4] y",
        w=np.ones((3, 4), np.float32),
        **NUMBERS,
    )
    with pytest.raises(ModelError, match=r"the shape of .* at MatMul .* cannot be inferred"):
        node_flops(ir.to_proto(model), (2, 3))
