"""onnx-simplifier normalises a model, and every convolution gets a name of its own."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, furthest, model_from_text, ops, to_float32, weights

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, LAYER, decode_filters
from swp_export.graph.simplify import simplify

RNG = np.random.default_rng(0)


def model() -> ir.Model:
    """Return a float32 network with a BatchNormalization, an Identity and a weight that two layers share."""
    parameters = {name: RNG.uniform(1, 2, size=4) for name in "sbmv"}
    return to_float32(
        model_from_text(
            f"h = Conv <{PADS}> (x, w) n = BatchNormalization (h, s, b, m, v) r = Relu (n) g = Conv <{PADS}> (r, u) "
            f"i = Identity (g) y = Conv <{PADS}> (i, u)",
            w=weights(RNG, 4, 3, 3, 3),
            u=weights(RNG, 4, 4, 3, 3),
            **parameters,
        )
    )


def test_normalises() -> None:
    """BatchNorm goes into the convolution before it, and the function stays, to float32."""
    before = model()
    after = simplify(before)
    assert ops(after) == ["Conv", "Relu", "Conv", "Conv"]
    assert furthest(before, after, RNG.normal(size=(1, 3, 6, 6))) < 1e-4


@pytest.mark.parametrize("names", [("", "", ""), ("a", "a", "a"), ("a", "", "a_again")])
def test_names(names: tuple[str, str, str]) -> None:
    """Convolutions without a name, or with the same one, get one each; those that have one keep it."""
    before = model()
    for (node, _), name in zip(iterate_stripe_convs(before.graph), names, strict=True):
        node.name = name
    after = [node for node, _ in iterate_stripe_convs(simplify(before).graph)]
    found = [node.metadata_props[LAYER] for node in after]
    assert len(set(found)) == 3
    assert [node.name for node in after] == found
    assert all(FILTERS in node.metadata_props for node in after)
    assert names[0] in {"", found[0]}


def test_every_filter_is_there() -> None:
    """Before anything is pruned each layer's own filters are all there, which is what its channels are named by."""
    after = [node for node, _ in iterate_stripe_convs(simplify(model()).graph)]
    assert [decode_filters(node.metadata_props[FILTERS]).tolist() for node in after] == [[True] * 4] * 3
