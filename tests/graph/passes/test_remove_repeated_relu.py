"""A Relu behind a Relu goes; every other stays."""

import numpy as np
import pytest
from small_models import copied, furthest, model_from_text, ops

from swp_export.graph.passes.remove_repeated_relu import RemoveRepeatedRelu

POOL = "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Relu (x) b = Relu (a) y = Neg (b)", ["Relu", "Neg"]),
        (f"a = Relu (x) p = {POOL} (a) b = Relu (p) y = Neg (b)", ["Relu", "MaxPool", "Neg"]),
        ("a = Relu (x) n = Neg (a) b = Relu (n) y = Neg (b)", ["Relu", "Neg", "Relu", "Neg"]),
        (f"p = {POOL} (x) b = Relu (p) y = Neg (b)", ["MaxPool", "Relu", "Neg"]),
        ("a = Relu (x) y = Relu (a)", ["Relu", "Relu"]),
    ],
)
def test_only_repeated_ones_go(body: str, expected: list[str]) -> None:
    """A Relu goes iff its input cannot be negative and it is no graph output; the function stays."""
    before = model_from_text(body)
    after = RemoveRepeatedRelu()(copied(before)).model
    assert ops(after) == expected
    assert furthest(before, after, np.random.default_rng(0).normal(size=(2, 3, 5, 5))) == 0
