"""Each dead filter that stays has a reason, and the reason is right."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import PADS, model_from_text, weights

from swp_export.graph.analysis.kept_channels import Kept, kept_channels
from swp_export.graph.pipeline import compact

RNG = np.random.default_rng(0)
DEAD = (1, 2, 5)
CONSTANTS = np.where(np.isin(np.arange(8), DEAD), 0.5, RNG.normal(size=8))
TENSORS = {
    "w": weights(RNG, 8, 3, 3, 3, dead=DEAD),
    "b": CONSTANTS,
    "v": weights(RNG, 8, 8, 3, 3),
    "u": weights(RNG, 4, 8, 1, 1),
    "p": weights(RNG, 5, 6, dead=[1]).T,
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('n = Einsum <equation = "nchw->nhwc"> (h) y = Neg (n)', ("node c (Conv)", 3, "node n (Einsum) sums over")),
        ("y = Relu (h)", ("c", 3, "the network gives them as output")),
        (f"y = Conv <{PADS}> (h, v)", ("c", 1, "node y (Conv) reads the constant beside zero padding")),
        (f"a = Conv <{PADS}> (h, v) s = Add (h, a) y = Conv (s, u)", ("c", 3, "others that they are added to")),
        ("y = Conv (h, u)", None),
        ("m = MatMul (h, p) y = Relu (m)", ("c", 3, "the network gives them as output")),
    ],
)
def test_reasons(body: str, expected: tuple[str, int, str] | None) -> None:
    """What pins, what needs a constant at borders, what is shared with live channels; nothing where all go."""
    used = {name: array for name, array in TENSORS.items() if f"{name})" in body.replace(",", ")") or name in "wb"}
    model = compact(model_from_text(f"h = Conv <{PADS}> (x, w, b) {body}", x="double[2, 3, 6, 6] x", **used))
    model.graph[0].name = "c"
    kept = kept_channels(model.graph)
    if expected is None:
        assert kept == []
        return
    _, filters, reason = expected
    assert [(found.layer, found.filters) for found in kept][:1] == [("c", filters)]
    assert reason in kept[0].reason


def test_a_layer_bears_the_checkpoints_name() -> None:
    """The name is that of the layer, the most frequent reason comes first."""
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w, b) y = Relu (h)", x="double[2, 3, 6, 6] x", w=TENSORS["w"], b=CONSTANTS
    )
    model.graph[0].metadata_props["swp_export.layer"] = "features.0"
    assert kept_channels(model.graph) == [
        Kept(layer="features.0", filters=3, reason="the network gives them as output")
    ]
