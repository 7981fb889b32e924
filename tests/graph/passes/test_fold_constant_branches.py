"""A dead branch of a residual block leaves the Add, and the function stays."""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from small_models import PADS, copied, furthest, marked, model_from_text, ops, weights

from swp_export.graph.metadata import FILTERS
from swp_export.graph.passes.fold_constant_branches import FoldConstantBranches

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 5))
ALL = tuple(range(8))


def block(trunk: str, *, bias: np.ndarray, x: str = "double[N, 3, 6, 5] x", **tensors: np.ndarray) -> ir.Model:
    """Return a block: a trunk, a branch that is dead, their sum, and a convolution behind it."""
    return model_from_text(
        f"h = Conv <{PADS}> (x, w) r = Relu (h) d = Conv <{PADS}> (r, dead, b) {trunk} z = Relu (s) "
        f"y = Conv <{PADS}> (z, last)",
        x=x,
        w=weights(RNG, 8, 3, 3, 3),
        dead=weights(RNG, 8, 8, 3, 3, dead=ALL),
        b=bias,
        last=weights(RNG, 4, 8, 3, 3),
        **tensors,
    )


def folded(before: ir.Model) -> ir.Model:
    """Return the model after the pass, without the nodes that it left unread."""
    after = FoldConstantBranches()(copied(before)).model
    return RemoveUnusedNodesPass()(after).model


def test_constant_replaces_the_branch() -> None:
    """Behind a Relu the constant stays as an operand of the Add, and the branch's convolution goes."""
    before = block("s = Add (r, d)", bias=RNG.normal(size=8))
    after = folded(before)
    assert ops(after) == ["Conv", "Relu", "Add", "Relu", "Conv"]
    assert furthest(before, after, X) < 1e-9


def test_zero_drops_the_add() -> None:
    """Where the constant is zero the Add goes too."""
    before = block("s = Add (d, r)", bias=np.zeros(8))
    after = folded(before)
    assert ops(after) == ["Conv", "Relu", "Relu", "Conv"]
    assert furthest(before, after, X) == 0


def test_convolution_takes_the_constant_as_bias() -> None:
    """The other operand's convolution takes it, and is no longer compared filter by filter with the layer's own."""
    before = marked(block("t = Conv (r, one) s = Add (t, d)", bias=RNG.normal(size=8), one=weights(RNG, 8, 8, 1, 1)))
    after = folded(before)
    assert ops(after) == ["Conv", "Relu", "Conv", "Relu", "Conv"]
    assert furthest(before, after, X) < 1e-9
    assert [FILTERS in node.metadata_props for node in after.graph if node.op_type == "Conv"] == [True, False, True]


def test_convolution_with_another_reader_keeps_its_bias() -> None:
    """A convolution that something else reads too, or that is a graph output, must not change."""
    before = block(
        "t = Conv (r, one) s0 = Add (t, d) q = Sigmoid (t) s = Mul (s0, q)",
        bias=RNG.normal(size=8),
        one=weights(RNG, 8, 8, 1, 1),
    )
    after = folded(before)
    assert "Add" in ops(after)
    assert furthest(before, after, X) < 1e-9


def test_partly_constant_branch_stays() -> None:
    """A branch with one live filter is not folded."""
    before = block("s = Add (r, d)", bias=RNG.normal(size=8))
    live = np.zeros((8, 8, 3, 3))
    live[3, 2, 1, 1] = 1
    before.graph.initializers["dead"].const_value = ir.tensor(live, name="dead")
    assert ops(folded(before)) == ops(before)


def test_broadcast_trunk_stays() -> None:
    """A trunk that the Add broadcasts would lose its size: it is left alone, at a known size and at an open one."""
    for x in ("double[N, 3, 6, 5] x", "double[N, 3, H, W] x"):
        before = block("p = GlobalMaxPool (r) s = Add (p, d)", bias=RNG.normal(size=8), x=x)
        after = folded(before)
        assert ops(after) == ops(before)
        assert furthest(before, after, X) == 0


def test_sizes_that_are_not_known_are_not_equal() -> None:
    """Two sizes of which nothing is known may differ: the Add stays."""
    before = block("s = Add (r, d)", bias=RNG.normal(size=8), x="double[N, 3, H, W] x")
    for node in before.graph:
        shape = node.outputs[0].shape
        if shape is not None:
            node.outputs[0].shape = ir.Shape([None, shape[1], None, None])
    assert ops(folded(before)) == ops(before)


def test_sum_that_is_a_graph_output_stays() -> None:
    """An output keeps its name: the Add that gives it stays, with the constant as operand."""
    before = model_from_text(
        f"h = Conv <{PADS}> (x, w) d = Conv <{PADS}> (h, dead) y = Add (h, d)",
        w=weights(RNG, 8, 3, 3, 3),
        dead=np.zeros((8, 8, 3, 3)),
        x="double[N, 3, 6, 5] x",
    )
    after = folded(before)
    assert ops(after) == ["Conv", "Add"]
    assert furthest(before, after, X) == 0


def test_constants_that_change_on_the_way() -> None:
    """Two Adds in a row: the second sees the sum that the first left in the convolution, not the bias before it."""
    before = model_from_text(
        f"h = Conv <{PADS}> (x, dead, b) s = Add (h, k) t = Conv <{PADS}> (x, w) u = Add (t, s) "
        f"y = Conv <{PADS}> (u, last)",
        x="double[N, 3, 6, 5] x",
        dead=np.zeros((8, 3, 3, 3)),
        b=RNG.normal(size=8),
        k=RNG.normal(size=(8, 1, 1)),
        w=weights(RNG, 8, 3, 3, 3),
        last=weights(RNG, 4, 8, 3, 3),
    )
    after = folded(before)
    assert ops(after) == ["Conv", "Conv"]
    assert furthest(before, after, X) < 1e-9


def test_a_stored_constant_per_channel_becomes_bias() -> None:
    """`[C, 1, 1]` in the model itself is a constant branch like any other, and a change is reported."""
    before = model_from_text(
        f"h = Conv <{PADS}> (x, w) s = Add (h, k) y = Conv <{PADS}> (s, last)",
        x="double[N, 3, 6, 5] x",
        w=weights(RNG, 8, 3, 3, 3),
        k=RNG.normal(size=(8, 1, 1)),
        last=weights(RNG, 4, 8, 3, 3),
    )
    result = FoldConstantBranches()(copied(before))
    assert result.modified
    assert ops(result.model) == ["Conv", "Conv"]
    assert furthest(before, result.model, X) < 1e-9


def test_a_stored_constant_of_other_axes_stays() -> None:
    """What differs along the width is no constant of a channel."""
    before = model_from_text(
        f"h = Conv <{PADS}> (x, w) s = Add (h, k) y = Conv <{PADS}> (s, last)",
        x="double[N, 3, 6, 5] x",
        w=weights(RNG, 5, 3, 3, 3),
        k=RNG.normal(size=(1, 1, 5)),
        last=weights(RNG, 4, 5, 3, 3),
    )
    assert ops(folded(before)) == ["Conv", "Add", "Conv"]


def test_what_stays_is_not_reported_as_changed() -> None:
    """An Add that must stay is no change: the rounds of the passes end."""
    output = model_from_text(
        f"h = Conv <{PADS}> (x, w) y = Add (h, k)",
        x="double[N, 3, 6, 5] x",
        w=weights(RNG, 8, 3, 3, 3),
        k=RNG.normal(size=(8, 1, 1)),
    )
    read_twice = model_from_text(
        f"h = Conv <{PADS}> (x, w) s = Add (h, k) y = Mul (s, h)",
        x="double[N, 3, 6, 5] x",
        w=weights(RNG, 8, 3, 3, 3),
        k=RNG.normal(size=(8, 1, 1)),
    )
    for model in (output, read_twice):
        assert not FoldConstantBranches()(model).modified


def test_a_constant_in_the_place_of_a_branch_is_a_change() -> None:
    """Where the Add stays, but reads a constant instead of a branch, the branch is to be removed in another round."""
    before = block("s = Add (r, d)", bias=np.ones(8))
    assert FoldConstantBranches()(copied(before)).modified
