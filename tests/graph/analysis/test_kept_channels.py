"""Each dead filter that stays has a reason, and the reason is right."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_models import PADS, copied, model_from_text, weights

from swp_export.graph.analysis.kept_channels import (
    COMBINED,
    GROUPED,
    PADDED,
    SHARED,
    SPREAD,
    UNBIASED,
    Kept,
    kept_channels,
    would_be_kept,
)
from swp_export.graph.pipeline import compact

RNG = np.random.default_rng(0)
DEAD = (1, 2, 5)
OUTPUT = "the network gives them as output"
SUMS = "node n (Einsum) sums over them as an equation says"
TENSORS = {
    "w": weights(RNG, 8, 3, 3, 3, dead=DEAD),
    "b": np.where(np.isin(np.arange(8), DEAD), 0.5, RNG.normal(size=8)),
    "v": weights(RNG, 8, 8, 3, 3),
    "u": weights(RNG, 4, 8, 1, 1),
    "d": weights(RNG, 8, 1, 3, 3),
    "e": weights(RNG, 8, 2, 3, 3),
    "m": RNG.normal(size=(8, 4)),
    "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "i": np.arange(8)[::-1].copy(),
    "one": np.array(1.0),
    "onmaps": weights(RNG, 5, 6, dead=[1]).T,
}
EINSUM = 'n = Einsum <equation = "nchw->nhwc"> ({}) y = Neg (n)'
POOL = f"AveragePool <kernel_shape = [3, 3], {PADS}, count_include_pad = 1>"
BODIES = [
    (EINSUM.format("h"), [("c", 3, SUMS, ())]),
    (f"g = Gather <axis = 1> (h, i) {EINSUM.format('g')}", [("c", 3, SUMS, ())]),
    ("y = Relu (h)", [("c", 3, OUTPUT, ())]),
    (f"y = Conv <{PADS}> (h, v)", [("c", 1, PADDED, ("y",))]),
    (f"r = Relu (h) y = Conv <{PADS}> (r, v)", [("c", 1, PADDED, ("y",))]),
    (f"a = Conv <{PADS}> (h, v) s = Add (h, a) y = Conv (s, u)", [("c", 3, COMBINED, ("s",))]),
    ("q = GlobalAveragePool (h) z = Sigmoid (q) s = Mul (h, z) y = Conv (s, u)", []),
    (f"a = Conv <{PADS}> (h, v) z = Sigmoid (a) s = Mul (h, z) y = Conv (s, u)", [("c", 3, COMBINED, ("s",))]),
    ("t = Transpose <perm = [0, 2, 3, 1]> (h) y = MatMul (t, m)", [("c", 1, UNBIASED, ("y",))]),
    (f"a = {POOL} (h) y = Conv (a, u)", [("c", 1, SPREAD, ("a",))]),
    (f"a = Conv <{PADS}, group = 8> (h, d) y = Conv (a, u)", [("c", 3, PADDED, ("a",))]),
    ("y = Conv (h, u)", []),
    ("l = MatMul (h, onmaps) y = Relu (l)", [("c", 3, OUTPUT, ())]),
]


def conv_then(body: str) -> tuple[str, dict[str, np.ndarray]]:
    """Return a padded convolution `h` with dead filters before `body`, and the tensors that both use."""
    text = f"h = Conv <{PADS}> (x, w, b) {body}"
    used = set(re.findall(r"\w+", text))
    return text, {name: array for name, array in TENSORS.items() if name in used}


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_reasons(body: str, expected: list[tuple[str, int, str, tuple[str, ...]]]) -> None:
    """What pins, what needs a constant at borders, what is shared with live channels; nothing where all go."""
    text, tensors = conv_then(body)
    model = model_from_text(text, x="double[2, 3, 6, 6] x", **tensors)
    model.graph[0].name = "c"
    found = kept_channels(compact(model).graph)
    assert [(each.layer, each.filters, each.reason, each.nodes) for each in found] == expected


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_what_would_stay_stays(body: str, expected: list[tuple[str, int, str, tuple[str, ...]]]) -> None:
    """Before pruning just those are told that an operator or live channels keep."""
    text, tensors = conv_then(body)
    model = model_from_text(text, x="double[2, 3, 6, 6] x", **tensors)
    model.graph[0].name = "c"
    before = copied(model)
    certain = [each for each in expected if each[2] in {SUMS, OUTPUT, COMBINED}]
    assert [(each.layer, each.filters, each.reason, each.nodes) for each in would_be_kept(model.graph)] == certain
    assert len(before.graph) == len(model.graph)


def test_whole_groups() -> None:
    """A dead filter of a grouped convolution whose other filters are live stays with them, and says so."""
    text = f"h = Conv <{PADS}, group = 2> (g, k) y = Conv (h, u)"
    k = weights(RNG, 8, 4, 3, 3, dead=[1])
    found = [
        kept_channels(model_from_text(text.replace("(g", "(x"), x="double[2, 8, 6, 6] x", k=k, u=TENSORS["u"]).graph),
        kept_channels(
            model_from_text(
                f"g = Conv (x, a) {text}",
                x="double[2, 3, 6, 6] x",
                k=k,
                u=TENSORS["u"],
                a=RNG.normal(size=(8, 3, 1, 1)),
            ).graph
        ),
    ]
    reads_input = "node h (Conv) reads a tensor in groups whose channels are not known"
    assert [[(each.filters, each.reason) for each in kept] for kept in found] == [[(1, reads_input)], [(1, GROUPED)]]


def test_shared_with_one_that_is_needed() -> None:
    """A constant that stays one is needed where another, which it is added to, is read beside padding."""
    text = (
        f"h = Conv <{PADS}> (x, w, b) g = Conv <{PADS}> (h, v) k = Conv <{PADS}> (x, w, b) "
        "s = Add (h, k) t = Conv (s, u) q = Conv (g, u) y = Add (t, q)"
    )
    model = compact(model_from_text(text, x="double[2, 3, 6, 6] x", **{name: TENSORS[name] for name in "wbvu"}))
    kept = kept_channels(model.graph)
    assert [(each.layer, each.filters, each.reason) for each in kept] == [("h", 1, PADDED), ("k", 1, SHARED)]


def test_a_layer_bears_the_checkpoints_name() -> None:
    """The name is that of the layer."""
    text, tensors = conv_then("y = Relu (h)")
    model = model_from_text(text, x="double[2, 3, 6, 6] x", **tensors)
    model.graph[0].metadata_props["swp_export.layer"] = "features.0"
    assert kept_channels(model.graph) == [Kept(layer="features.0", filters=3, reason=OUTPUT)]
