"""FoldBatchNorm: the same function with one rounding, dead stripes exactly zero, and nothing else touched."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, ops, weights

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.passes.fold_batch_norm import FoldBatchNorm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 5))


def network(tail: str = "") -> ir.Model:
    """Return Conv, BatchNormalization, Relu; filters 1 and 4 are dead."""
    body = f"h = Conv <{PADS}> (x, w) b = BatchNormalization <epsilon = 0.001> (h, gamma, beta, mean, var) {tail}"
    body += "y = Relu (b)"
    vectors = {name: RNG.normal(size=6) for name in ("gamma", "beta", "mean")}
    return model_from_text(body, w=weights(RNG, 6, 3, 3, 3, dead=[1, 4]), **vectors, var=RNG.random(6) + 0.1)


def test_the_function_stays() -> None:
    """In float64 nothing changes, and no BatchNormalization is left."""
    before = network()
    after = FoldBatchNorm()(copied(before)).model
    assert ops(after) == ["Conv", "Relu"]
    assert furthest(before, after, X) < 1e-12


def test_dead_stripes_stay_exactly_zero() -> None:
    """Scaling leaves the skeleton as it is."""
    before = network()
    (_, conv), (_, folded) = (
        next(iterate_stripe_convs(m.graph)) for m in (before, FoldBatchNorm()(copied(before)).model)
    )
    assert np.array_equal(conv.skeleton.mask, folded.skeleton.mask)
    assert folded.skeleton.live_filters == 4


def test_a_convolution_that_is_read_elsewhere_is_left_alone() -> None:
    """Its other reader wants the output before the normalisation."""
    model = network("z = Relu (h) ")
    assert not FoldBatchNorm()(model).modified


@pytest.mark.parametrize("before", ["r = Relu (x)", "r = MaxPool <kernel_shape = [1, 1]> (x)"])
def test_what_is_no_convolution_is_left_alone(before: str) -> None:
    """A normalisation of anything else, an input among them, stays."""
    vectors = {name: RNG.normal(size=3) for name in ("gamma", "beta", "mean")} | {"var": RNG.random(3) + 0.1}
    behind = f"{before} b = BatchNormalization (r, gamma, beta, mean, var) y = Relu (b)"
    assert not FoldBatchNorm()(model_from_text(behind, **vectors)).modified
    alone = model_from_text("b = BatchNormalization (x, gamma, beta, mean, var) y = Relu (b)", **vectors)
    assert not FoldBatchNorm()(alone).modified


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        ("Conv <group = 3> (x, w)", (6, 1, 3, 3)),
        ("ConvTranspose (x, w)", (3, 6, 3, 3)),
        ("ConvTranspose <group = 3, strides = [2, 2]> (x, w)", (3, 2, 2, 2)),
    ],
)
def test_every_convolution_takes_it(operator: str, shape: tuple[int, ...]) -> None:
    """Grouped and transposed ones too; the function stays."""
    vectors = {name: RNG.normal(size=6) for name in ("gamma", "beta", "mean")} | {"var": RNG.random(6) + 0.1}
    body = f"h = {operator} b = BatchNormalization (h, gamma, beta, mean, var) y = Relu (b)"
    model = model_from_text(body, w=weights(RNG, *shape), **vectors)
    folded = FoldBatchNorm()(copied(model)).model
    x = RNG.normal(size=(2, 3, 6, 6))
    assert [node.op_type for node in folded.graph] == [operator.split(maxsplit=1)[0], "Relu"]
    assert np.allclose(Float64Model(model).run(x)["y"], Float64Model(folded).run(x)["y"])
