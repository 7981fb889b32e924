"""Files that `prune` must not start from, each refused for what it is."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PADS, model_from_text, weights

from swp_export.errors import ModelError
from swp_export.graph.refusals import (
    operators_with_weights,
    require_finite_weights,
    require_float_model,
    require_inference,
)

RNG = np.random.default_rng(0)
QUANTISED = {"w": RNG.integers(-9, 9, (4, 3, 3, 3)).astype(np.int8), "s": np.float32(0.1)}


@pytest.mark.parametrize(
    ("body", "domain", "says"),
    [
        (f"d = DequantizeLinear (w, s) y = Conv <{PADS}> (x, d)", "", "quantised already .1 DequantizeLinear"),
        ("y = ConvInteger (x, w)", "", "quantised already .1 ConvInteger"),
        ("y = com.microsoft.QLinearAdd (x, x)", "com.microsoft", "quantised already .1 com.microsoft.QLinearAdd"),
        ("y = com.microsoft.MatMulNBits (x, x)", "com.microsoft", "quantised already .1 com.microsoft.MatMulNBits"),
        ("y = com.microsoft.FusedConv (x, w)", "com.microsoft", "one runtime already .1 com.microsoft.FusedConv"),
        ("y = com.microsoft.nchwc.Conv (x, w)", "com.microsoft.nchwc", "one runtime already"),
        ("y = com.ms.internal.nhwc.Conv (x, w)", "com.ms.internal.nhwc", "one runtime already"),
    ],
)
def test_not_the_float_network(body: str, domain: str, says: str) -> None:
    """Quantised as a whole or in part, or with operators of one runtime: start from the float model."""
    used = {name: array for name, array in QUANTISED.items() if f"{name}" in body.partition("(")[2]}
    model = model_from_text(body, x="float[N, 3, 6, 6] x", y="float y", domains=[domain] if domain else [], **used)
    with pytest.raises(ModelError, match=says):
        require_float_model(model, "m.onnx")


def test_operators_of_others_are_no_reason() -> None:
    """Another domain's Conv or QuantizeLinear says nothing about the network."""
    body = f"a = other.QuantizeLinear (x) b = Conv <{PADS}> (a, w) y = other.Conv (b)"
    require_float_model(model_from_text(body, domains=["other"], w=weights(RNG, 3, 3, 3, 3)), "m")


def test_statistics_of_the_batch() -> None:
    """A BatchNormalization in training mode is named."""
    ones = np.ones(3)
    model = model_from_text(
        "y = BatchNormalization <training_mode = 1> (x, s, b, m, v)", s=ones, b=ones, m=ones, v=ones
    )
    with pytest.raises(ModelError, match="BatchNormalization 'y' is in training mode"):
        require_inference(model, "m.onnx")


def test_only_weights_must_be_finite() -> None:
    """An infinite bound or filling is legal, an infinite weight is not."""
    require_finite_weights(model_from_text("y = Max (x, k)", k=np.float64(-np.inf)), "m")
    weight = weights(RNG, 4, 3, 3, 3)
    weight[0, 0, 0, 0] = np.inf
    with pytest.raises(ModelError, match=r"w of m\.onnx holds NaN or infinite"):
        require_finite_weights(model_from_text(f"y = Conv <{PADS}> (x, w)", w=weight), "m.onnx")


def test_who_carries_the_weights() -> None:
    """The operators with constants of several axes, the most frequent first."""
    model = model_from_text(
        "a = ConvTranspose (x, t) b = MatMul (a, u) c = MatMul (b, u) y = other.Dense (c, u)",
        domains=["other"],
        t=weights(RNG, 3, 4, 2, 2),
        u=weights(RNG, 5, 5),
    )
    assert operators_with_weights(model) == "2 MatMul, 1 ConvTranspose, 1 other.Dense"
