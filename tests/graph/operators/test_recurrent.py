"""LSTM and GRU let go of the channels that are constant, whatever the constant is."""

import numpy as np
import pytest
from small_models import PADS, copied, furthest, model_from_text, weights

from swp_export.graph.pipeline import compact

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bias", [", b", ""])
@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_constants_go_into_the_bias(operator: str, gates: int, direction: str, bias: str) -> None:
    """A dead filter before it goes, its column too, and its constant is added to the gates."""
    ways, hidden = 2 if direction == "bidirectional" else 1, 4
    before = model_from_text(
        f"h = Conv <{PADS}> (x, k, c) s = Squeeze (h, two) t = Transpose <perm = [2, 0, 1]> (s)"
        f' y, z = {operator} <hidden_size = 4, direction = "{direction}"> (t, w, r{bias})',
        x="double[N, 3, 1, 7] x",
        y="double[T, D, N, M] y",
        k=weights(RNG, 6, 3, 3, 3, dead=[1, 4]),
        c=RNG.normal(size=6),
        two=np.array([2]),
        w=RNG.normal(size=(ways, gates * hidden, 6)),
        r=RNG.normal(size=(ways, gates * hidden, hidden)),
        **({"b": RNG.normal(size=(ways, 2 * gates * hidden))} if bias else {}),
    )
    after = compact(copied(before))
    node = next(node for node in after.graph if node.op_type == operator)
    assert node.inputs[1] is not None
    assert node.inputs[1].shape == [ways, gates * hidden, 4]
    assert furthest(before, after, RNG.normal(size=(2, 3, 1, 7))) < 1e-12
