"""The first layer that diverges is the one that was changed, also where filters and blocks are gone."""

import numpy as np
import onnx_ir as ir
import pytest
from real_networks import Exported
from small_models import PADS, copied, from_bytes, marked, model_from_text, to_float32, weights

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, encode_filters, encode_order
from swp_export.graph.pipeline import compact
from swp_export.lowerings.lower import lower
from swp_export.verification.cases import noise_case
from swp_export.verification.diverging_layer import first_diverging_layer

RNG = np.random.default_rng(0)
LAYERS = ["conv0", "conv1", "conv2", "conv3"]


def chain() -> ir.Model:
    """Return four layers in a row, the first three with dead filters."""
    body = f"h0 = Conv <{PADS}> (x, w0, b) r0 = Relu (h0) "
    for i in (1, 2):
        body += f"h{i} = Conv <{PADS}> (r{i - 1}, w{i}, b) r{i} = Relu (h{i}) "
    tensors = {f"w{i}": weights(RNG, 6, 3 if i == 0 else 6, 3, 3, dead=[i, 4]) for i in range(3)}
    body += f"y = Conv <{PADS}> (r2, w3)"
    return marked(to_float32(model_from_text(body, **tensors, w3=weights(RNG, 4, 6, 3, 3), b=RNG.normal(size=6))))


def changed(model: ir.Model, layer: str) -> ir.Model:
    """Return `model` with one live weight of `layer` doubled."""
    altered = copied(model)
    node = next(node for node, conv in iterate_stripe_convs(altered.graph) if conv.name == layer)
    value = node.inputs[1]
    assert value is not None
    array = np.array(value.const_value.numpy())  # type: ignore[union-attr]
    array.reshape(-1)[np.argmax(np.abs(array))] *= 2
    value.const_value = ir.tensor(array, name=value.name)
    return altered


X = noise_case((3, 8, 8)).x


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("lowering", ["dense", "pad-slice-add"])
def test_the_changed_layer_is_named(layer: str, lowering: str) -> None:
    """Whichever layer of a compact, lowered model was changed, that one is named, by its filters that are left."""
    reference = chain()
    model = changed(compact(copied(reference)), layer)
    lower(model, lambda _: lowering)
    assert first_diverging_layer(model, reference, X) == layer


def test_two_changes() -> None:
    """Of two changed layers the first in order of execution is named."""
    reference = chain()
    assert first_diverging_layer(changed(changed(reference, "conv2"), "conv1"), reference, X) == "conv1"


def test_layers_that_share_only_a_name_are_passed_over() -> None:
    """A layer that had other filters from the start is another layer."""
    reference = chain()
    other = copied(reference)
    for node, conv in iterate_stripe_convs(other.graph):
        if conv.name == "conv0":
            node.metadata_props[FILTERS] = encode_filters(np.arange(9) < 6)
    assert first_diverging_layer(changed(other, "conv1"), reference, X) == "conv1"


def test_layers_that_say_something_else_than_they_compute_are_passed_over() -> None:
    """Metadata with more filters than the layer has channels point at nothing."""
    reference = chain()
    for node, conv in iterate_stripe_convs(reference.graph):
        if conv.name == "conv0":
            node.metadata_props[FILTERS] = encode_filters(np.ones(9, bool))
    assert first_diverging_layer(changed(reference, "conv0"), reference, X) == "conv1"


def test_nothing_diverges() -> None:
    """A correct model names none."""
    reference = chain()
    assert first_diverging_layer(compact(copied(reference)), reference, X) is None


def test_two_pruned_models() -> None:
    """A compact reference can be compared with too: filters that both have are."""
    model = compact(copied(chain()))
    assert first_diverging_layer(changed(model, "conv2"), model, X) == "conv2"


def test_nothing_in_common() -> None:
    """Models without a layer in common name none."""
    reference = chain()
    for node in reference.graph:
        node.metadata_props.pop(FILTERS, None)
    assert first_diverging_layer(chain(), reference, X) is None


def test_behind_a_dead_block(resnet56_at_0_2: Exported) -> None:
    """A convolution that took a dead branch's constant into its bias does not pass for the culprit."""
    reference = from_bytes(resnet56_at_0_2.dense)
    model = compact(copied(reference))
    layers = [conv.name for node, conv in iterate_stripe_convs(model.graph) if FILTERS in node.metadata_props]
    x = noise_case(resnet56_at_0_2.input_shape).x
    assert first_diverging_layer(model, reference, x) is None
    assert first_diverging_layer(changed(model, layers[-1]), reference, x) == layers[-1]


def test_a_layer_that_shares_only_a_name_is_not_named() -> None:
    """Where such a layer differs, the first one that both have and that differs behind it is named."""
    reference = chain()
    other = changed(reference, "conv0")
    for node, conv in iterate_stripe_convs(other.graph):
        if conv.name == "conv0":
            node.metadata_props[FILTERS] = encode_filters(np.arange(9) < 6)
    assert first_diverging_layer(other, reference, X) == "conv1"


def scaled(factors: np.ndarray, fault: float = 1.0) -> ir.Model:
    """Return two layers; the filters of the first are multiplied by `factors`, and its last filter by `fault` too."""
    rng = np.random.default_rng(1)
    w0, w1 = weights(rng, 6, 3, 3, 3) * factors[:, None, None, None], weights(rng, 4, 6, 3, 3)
    w0[-1] *= fault
    w1 /= factors[:, None, None]
    body = f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
    return marked(to_float32(model_from_text(body, w0=w0, w1=w1)))


def test_a_small_filter_beside_large_ones() -> None:
    """What rounding does to large filters does not hide that a small one is off: its layer is named, not the next."""
    factors = np.array([1e6, 1e6, 1e6, 1e6, 1e6, 1.0])
    assert first_diverging_layer(scaled(factors, 1.001), scaled(factors), X) == "conv0"


def test_what_rounding_explains_is_not_named() -> None:
    """A layer whose sums nearly cancel is off by far more than others are, in a right model too."""

    def cancelling(order: np.ndarray, fault: float = 1.0) -> ir.Model:
        rng = np.random.default_rng(2)
        large = 1e4 * weights(rng, 1, 6, 3, 3)
        w0 = weights(rng, 6, 3, 3, 3)
        w0[3:] = w0[:3] * (1 + 1e-4 * rng.normal(size=(3, 1, 1, 1)))
        w1 = np.concatenate([large[:, :3], -large[:, :3]], axis=1) * np.ones((4, 1, 1, 1))
        w2 = weights(rng, 3, 4, 3, 3) * fault
        body = f"h = Conv <{PADS}> (x, w0) g = Conv <{PADS}> (h, w1) y = Conv <{PADS}> (g, w2)"
        return marked(to_float32(model_from_text(body, w0=w0[order], w1=w1[:, order], w2=w2)))

    model = cancelling(np.arange(6)[::-1], 1.02)
    for node in model.graph:
        if node.name == "conv0":
            node.metadata_props[FILTERS] = encode_order(6, np.arange(6)[::-1])
    assert first_diverging_layer(model, cancelling(np.arange(6)), X) == "conv2"


def test_float16_networks() -> None:
    """Layers that compute in float16 are looked into as well."""

    def half(factor: float) -> ir.Model:
        rng = np.random.default_rng(3)
        w0, w1 = weights(rng, 6, 3, 3, 3), factor * weights(rng, 4, 6, 3, 3)
        body = f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
        sizes = {"x": "float16[N, 3, H, W] x", "y": "float16[N, M, P, Q] y"}
        return marked(model_from_text(body, **sizes, w0=w0.astype(np.float16), w1=w1.astype(np.float16)))

    assert first_diverging_layer(half(1.0), half(1.0), X) is None
    assert first_diverging_layer(half(1.1), half(1.0), X) == "conv1"
