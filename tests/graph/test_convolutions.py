"""The view from Conv nodes to StripeConvs and back."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from small_models import conv_model, model_from_text, stripe_convs, weights

from swp_export.graph.constants import add_initializer, array_of, set_input, value_names
from swp_export.graph.convolutions import stripe_conv_from_node
from swp_export.graph.operators.table import weights_of
from swp_export.graph.operators.weights import put_bias, put_weight
from swp_export.stripes import StripeConv

RNG = np.random.default_rng(0)
W = weights(RNG, 4, 3, 3, 3)


@given(conv=stripe_convs())
def test_a_node_gives_back_its_convolution(conv: StripeConv) -> None:
    """Weight, bias and geometry are read as they were written."""
    found = stripe_conv_from_node(conv_model(conv).graph[0])
    assert found is not None
    assert (found.name, found.strides, found.pads, found.dilations) == (
        conv.name,
        conv.strides,
        conv.pads,
        conv.dilations,
    )
    assert np.array_equal(found.weight, conv.weight)
    assert np.array_equal(found.bias, conv.bias)


@pytest.mark.parametrize(
    ("body", "tensors"),
    [
        ("y = Conv <group = 3> (x, w)", {"w": weights(RNG, 3, 1, 3, 3)}),
        ('y = Conv <auto_pad = "SAME_UPPER"> (x, w)', {"w": W}),
        ("y = Conv <pads = [0, -1, 0, 0]> (x, w)", {"w": W}),
        ("v = Neg (w) y = Conv (x, v)", {"w": W}),
        ("v = Neg (b) y = Conv (x, w, v)", {"w": W, "b": np.ones(4)}),
        ("y = ConvTranspose (x, w)", {"w": weights(RNG, 3, 4, 3, 3)}),
        ("y = Relu (x)", {}),
    ],
)
def test_what_is_no_stripe_conv(body: str, tensors: dict[str, np.ndarray]) -> None:
    """Grouped, automatically or negatively padded, computed weight or bias, other operators: None."""
    model = model_from_text(body, **tensors)
    assert stripe_conv_from_node(model.graph[-1]) is None


def test_a_missing_bias_is_zeros_of_the_weights_dtype() -> None:
    """A Conv without bias has zeros, in float64 for a float64 weight."""
    node = model_from_text("y = Conv (x, w)", w=W).graph[0]
    found = weights_of(node)
    assert found is not None
    assert found.biases().dtype == np.float64
    assert not found.biases().any()


def test_setting_keeps_the_dtype_and_other_readers() -> None:
    """A new weight or bias has the dtype of the old weight; an initializer that only it reads keeps its name."""
    model = model_from_text("h = Conv (x, w) y = Conv (x, w)", y="double[N, 4, P, Q] h, double[N, 4, P, Q] y", w=W)
    put_weight(model.graph[0], np.ones((4, 3, 1, 1), np.float32))
    put_bias(model.graph[0], np.ones(4, np.float32))
    assert [array_of(v).dtype for v in model.graph[0].inputs[1:]] == [np.float64, np.float64]  # type: ignore[union-attr]
    assert np.array_equal(array_of(model.graph[1].inputs[1]), W)
    put_weight(model.graph[1], W + 1)
    assert model.graph[1].inputs[1] is model.graph.initializers["w"]
    assert np.array_equal(array_of(model.graph.initializers["w"]), W + 1)


def test_names_are_unique() -> None:
    """A new initializer never takes the name of another value, be it computed, stored or given."""
    model = model_from_text("h = Conv (x, w) y = Relu (h)", w=W)
    assert value_names(model.graph) == {"x", "w", "h", "y"}
    names = [add_initializer(model.graph, name, np.zeros(1)).name for name in ("h", "w", "x", "h")]
    assert len({*names, "x", "w", "h", "y"}) == 8
    set_input(model.graph[1], 0, "y", np.ones((1, 4, 2, 2)))
    assert isinstance(model.graph[1].inputs[0], ir.Value)
    assert model.graph[1].inputs[0].name != "y"


def test_a_new_weight_has_the_dtype_of_the_old_one() -> None:
    """What is computed in float64 is written in the weight's own dtype, also where that of the input is unknown."""
    model = model_from_text("y = Conv (x, w)", w=W.astype(np.float32))
    model.graph.inputs[0].type = None
    put_weight(model.graph[0], np.zeros_like(W, np.float64))
    weight = array_of(model.graph[0].inputs[1])
    assert weight is not None
    assert weight.dtype == np.float32
    assert not weight.any()
