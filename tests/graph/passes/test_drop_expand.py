"""What an operator broadcasts anyway need not be repeated before it."""

import numpy as np
import pytest
from onnx_ir.passes.common import RemoveUnusedNodesPass
from small_models import copied, model_from_text, ops

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.normalise import normalised
from swp_export.graph.passes.drop_expand import DropExpand

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("reader", ["Mul (x, e)", "Sub (e, x)", "Pow (x, e)"])
def test_an_operand_that_is_broadcast(reader: str) -> None:
    """`x * gate.expand_as(x)` is `x * gate`."""
    model = model_from_text(
        f"g = GlobalMaxPool (x) s = Shape (x) e = Expand (g, s) y = {reader}",
        x="double[2, 3, 4, 5] x",
        y="double[2, 3, 4, 5] y",
    )
    dropped = DropExpand()(copied(model)).model
    RemoveUnusedNodesPass()(dropped)
    assert ops(dropped) == ["GlobalMaxPool", reader.split(maxsplit=1)[0]]
    x = RNG.random((2, 3, 4, 5)) + 0.5
    assert np.array_equal(Float64Model(model).run(x)["y"], Float64Model(dropped).run(x)["y"])


@pytest.mark.parametrize("reader", ["Mul (g, e)", "Mul (e, e)", "Relu (e)", "Concat <axis = 1> (x, e)"])
def test_what_gives_the_size_stays(reader: str) -> None:
    """Where nothing else has the size that is repeated to, or the operator does not broadcast, it stays."""
    model = model_from_text(
        f"g = GlobalMaxPool (x) s = Shape (x) e = Expand (g, s) y = {reader}",
        x="double[2, 3, 4, 5] x",
        y="double[2, C, 4, 5] y",
    )
    before = Float64Model(copied(model)).run(RNG.random((2, 3, 4, 5)))["y"].shape
    DropExpand()(model)
    assert Float64Model(model).run(RNG.random((2, 3, 4, 5)))["y"].shape == before
    assert "Expand" in ops(model)


def test_a_size_that_is_known_by_name() -> None:
    """The batch is repeated to itself, whatever it is; PyTorch states the other sizes as numbers."""
    model = model_from_text(
        "g = GlobalMaxPool (x) s = Shape <end = 1> (x) t = Concat <axis = 0> (s, c) e = Expand (g, t) y = Mul (x, e)",
        x="double[N, 3, 4, 5] x",
        y="double[N, 3, 4, 5] y",
        c=np.array([3, 4, 5]),
    )
    dropped = DropExpand()(normalised(model, "it")).model
    RemoveUnusedNodesPass()(dropped)
    assert ops(dropped) == ["GlobalMaxPool", "Mul"]
