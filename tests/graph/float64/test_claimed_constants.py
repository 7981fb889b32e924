"""Constants that are claimed are true: at every opset they are what ONNX Runtime computes."""

import numpy as np
import onnx_ir as ir
import pytest
from float64_runtime import unoptimised
from small_models import model_from_text
from test_float64_scan import definitions

from swp_export.graph.analysis.channels import ELEMENTWISE, UNARY
from swp_export.graph.analysis.constant_channels import constant_channels

RNG = np.random.default_rng(0)
DEAD = [1, 3]
C = 4

WITH_PARAMETERS = {
    "BatchNormalization": [("BatchNormalization (h, k, b, m, v)", 7, 99)],
    "Clip": [("Clip <min = 0.1, max = 0.5> (h)", 7, 10), ("Clip (h, low, high)", 11, 99)],
    "PRelu": [("PRelu (h, slope)", 7, 99)],
    **{
        op: [(f"{op} (h, slope)", first, 99), (f"{op} (slope, h)", first, 99), (f"{op} (h, h)", 7, 99)]
        for op in ELEMENTWISE
        for first in (8 if op in {"Max", "Min", "Sum"} else 7,)  # these three broadcast since opset 8
    },
    "LRN": [("LRN <size = 3, alpha = 0.5> (h)", 7, 99)],
    "Softmax": [("Softmax (h)", 7, 99), ("Softmax <axis = 1> (h)", 7, 99), ("Softmax <axis = 3> (h)", 7, 99)],
    "LogSoftmax": [("LogSoftmax (h)", 7, 99)],
    "Hardmax": [("Hardmax <axis = 1> (h)", 7, 99)],
    "InstanceNormalization": [("InstanceNormalization (h, k, b)", 7, 99)],
}
"""Operator -> its forms, each with the opsets it fits; what is not here is called with one input."""
TAKEN_ALONG = UNARY | ELEMENTWISE
"""Operators through which a constant of a channel must be known; through the others it may be."""


@pytest.mark.parametrize("operator", sorted(TAKEN_ALONG | set(WITH_PARAMETERS)))
def test_claimed_constants_are_true(operator: str) -> None:
    """What is claimed behind dead filters is what the runtime computes, at every definition of the operator."""
    for opset in definitions(operator):
        for call, since, until in WITH_PARAMETERS.get(operator, [(f"{operator} (h)", 7, 99)]):
            if since <= opset <= until:
                claimed = check(call, opset)
                assert operator not in TAKEN_ALONG or set(DEAD) <= set(claimed), (call, opset, claimed)


def check(call: str, opset: int) -> list[int]:
    """Compare what is claimed for `call` with the runtime, and return the channels for which anything is."""
    weight = RNG.normal(size=(C, 3, 3, 3)).astype(np.float32)
    weight[DEAD] = 0
    model = model_from_text(
        f"h = Conv <pads = [1, 1, 1, 1]> (x, w, bias) y = {call}",
        x="float[1, 3, 5, 5] x",
        y=f"float[1, {C}, 5, 5] y",
        opset=opset,
        w=weight,
        bias=RNG.uniform(0.2, 0.8, C).astype(np.float32),
        **{name: RNG.uniform(0.5, 1.5, C).astype(np.float32) for name in "kbmv"},
        slope=RNG.uniform(0.5, 1.5, (C, 1, 1)).astype(np.float32),
        low=np.array(0.3, np.float32),
        high=np.array(0.6, np.float32),
    )
    used = {value.name for node in model.graph for value in node.inputs if value is not None}
    for name in [name for name in model.graph.initializers if name not in used]:
        del model.graph.initializers[name]
    found = constant_channels(model.graph).get(model.graph.outputs[0], np.full(C, np.nan))
    y = unoptimised(ir.to_proto(model), {"x": RNG.normal(size=(1, 3, 5, 5)).astype(np.float32)})["y"]
    claimed = np.flatnonzero(~np.isnan(found)).tolist()
    for channel in claimed:
        assert np.abs(y[:, channel] - found[channel]).max() < 1e-5, (call, opset, channel)
    return claimed
