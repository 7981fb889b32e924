"""Constants leave the weights that read them, and the function stays, borders included."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, weights

from swp_export.graph.constants import array_of
from swp_export.graph.passes.fold_constant_channels import FoldConstantChannels

RNG = np.random.default_rng(0)
DEAD = (1, 2, 5)
BIAS = RNG.normal(size=8) + 1
X = RNG.normal(size=(2, 3, 6, 5))


def model(second: str, *, bias: np.ndarray = BIAS, y: str = "double[N, M, P, Q] y", **tensors: np.ndarray) -> ir.Model:
    """Return a first layer with three dead filters, a Relu, and what `second` spells behind them."""
    return model_from_text(
        f"h = Conv <{PADS}> (x, w, b) r = Relu (h) {second}",
        x="double[N, 3, 6, 5] x",
        y=y,
        w=weights(RNG, 8, 3, 3, 3, dead=DEAD),
        b=bias,
        **tensors,
    )


def folded(before: ir.Model) -> ir.Model:
    """Return the model after the pass."""
    return FoldConstantChannels()(copied(before)).model


def columns(after: ir.Model, index: int = 2) -> list[int]:
    """Return which input channels the weight of node `index` reads."""
    weight = array_of(after.graph[index].inputs[1])
    assert weight is not None
    return np.flatnonzero((weight != 0).any(axis=(0, *range(2, weight.ndim)))).tolist()


def test_zero_padding_leaves_one_channel() -> None:
    """Behind zero padding three constant channels become one, and the function is the same to the last border."""
    before = model(f"y = Conv <{PADS}> (r, v, c)", v=weights(RNG, 4, 8, 3, 3), c=RNG.normal(size=4))
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    assert len(set(columns(after)) & set(DEAD)) == 1


def test_folding_into_the_bias_is_wrong_behind_padding() -> None:
    """The naive way, every constant into the bias, is right inside and wrong at the borders: ours is needed."""
    before = model(f"y = Conv <{PADS}> (r, v, c)", v=weights(RNG, 4, 8, 3, 3), c=np.zeros(4))
    naive = copied(before)
    weight = np.array(array_of(naive.graph[2].inputs[1]))
    constants = np.maximum(BIAS[list(DEAD)], 0)
    bias = np.einsum("okhw,k->o", weight[:, list(DEAD)], constants)
    weight[:, list(DEAD)] = 0
    naive.graph.initializers["v"].const_value = ir.tensor(weight, name="v")
    naive.graph.initializers["c"].const_value = ir.tensor(bias, name="c")
    assert furthest(before, naive, X) > 0.1
    from swp_export.graph.float64.model import Float64Model

    error = np.abs(Float64Model(before).run(X)["y"] - Float64Model(naive).run(X)["y"])
    assert error[:, :, 1:-1, 1:-1].max() < 1e-9


@pytest.mark.parametrize("geometry", ["strides = [2, 2]", "dilations = [2, 1]", "strides = [1, 2]"])
def test_without_padding_all_constants_go(geometry: str) -> None:
    """Where no tap reads padding, every constant goes into the bias, also of a Conv that had none."""
    before = model(f"y = Conv <{geometry}> (r, v)", v=weights(RNG, 4, 8, 3, 3))
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    assert not set(columns(after)) & set(DEAD)


def test_zero_constants_go() -> None:
    """A constant that Relu made zero needs no holder, padding or not."""
    bias = np.where(np.isin(np.arange(8), DEAD), -1, BIAS)
    before = model(f"y = Conv <{PADS}> (r, v)", bias=bias, v=weights(RNG, 4, 8, 3, 3))
    after = folded(before)
    assert furthest(before, after, X) == 0
    assert not set(columns(after)) & set(DEAD)


def test_stripes_that_see_no_padding_are_folded_one_by_one() -> None:
    """Of a padded layer, a filter that reads a constant at its centre only has it folded into its bias."""
    v = weights(RNG, 2, 8, 3, 3)
    centre = np.zeros((3, 3))
    centre[1, 1] = 1
    v[0, list(DEAD)] *= centre
    before = model(f"y = Conv <{PADS}> (r, v)", v=v)
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    weight = array_of(after.graph[2].inputs[1])
    assert weight is not None
    assert not weight[0, list(DEAD)].any()
    assert weight[1, list(DEAD)].any()


@pytest.mark.parametrize(
    "head",
    [
        ("y = Gemm (f, m, c)", (240, 4)),
        ("y = Gemm <transB = 1> (f, m, c)", (4, 240)),
        ("y = Gemm (f, m)", (240, 4)),
        ("y = MatMul (f, m)", (240, 4)),
        ("y = Gemm <alpha = 0.5> (f, m, c)", (240, 4)),
    ],
)
def test_heads(head: tuple[str, tuple[int, int]]) -> None:
    """Classifiers behind a Flatten of maps: Gemm either way round, with and without bias, MatMul."""
    text, shape = head
    tensors = {"m": RNG.normal(size=shape)} | ({"c": RNG.normal(size=4)} if ", c)" in text else {})
    before = model(f"f = Flatten (r) {text}", y="double[N, 4] y", **tensors)
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    weight = array_of(after.graph[3].inputs[1])
    assert weight is not None
    by_channel = weight.reshape(8, 30, 4) if shape[0] == 240 else weight.reshape(4, 8, 30).transpose(1, 2, 0)
    gone = sum(not by_channel[channel].any() for channel in DEAD)
    assert gone == (0 if "alpha" in text else 2 if "MatMul" in text else 3)


@pytest.mark.parametrize("constants", [(1.0, 1.0, 1.0), (1.0, 0.0, 2.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("head", ["MatMul (f, m)", "Gemm (f, m)", "Gemm (f, m, c)"])
def test_constants_of_one_and_zero(head: str, constants: tuple[float, ...]) -> None:
    """A channel of ones is no channel of zeros: a product that has no bias keeps what they add, in one column."""
    bias = BIAS.copy()
    bias[list(DEAD)] = constants
    tensors = {"m": RNG.normal(size=(240, 4))} | ({"c": RNG.normal(size=4)} if ", c)" in head else {})
    before = model(f"f = Flatten (r) y = {head}", y="double[N, 4] y", bias=bias, **tensors)
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    weight = array_of(after.graph[3].inputs[1])
    assert weight is not None
    kept = weight.reshape(8, 30, 4)[list(DEAD)].any(axis=(1, 2))
    assert kept.sum() == (1 if "MatMul" in head else 0)


def test_shared_weight() -> None:
    """A weight that two convolutions share changes for the one that reads constants only."""
    v = weights(RNG, 3, 3, 3, 3)
    before = model_from_text(
        f"h = Conv <{PADS}> (x, w, b) r = Relu (h) a = Conv <{PADS}> (r, v) c = Conv <{PADS}> (x, v) y = Add (a, c)",
        w=weights(RNG, 3, 3, 3, 3, dead=[0, 1]),
        b=np.ones(3),
        v=v,
    )
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    assert np.array_equal(array_of(after.graph[3].inputs[1]), v)
    assert not np.array_equal(array_of(after.graph[2].inputs[1]), v)


def test_nothing_to_fold_changes_nothing() -> None:
    """Without constants the pass reports no change and leaves every bit."""
    before = model_from_text(
        f"h = Conv <{PADS}> (x, w) y = Conv <{PADS}> (h, v)", w=weights(RNG, 8, 3, 3, 3), v=weights(RNG, 4, 8, 3, 3)
    )
    result = FoldConstantChannels()(copied(before))
    assert not result.modified
    assert ir.to_proto(result.model) == ir.to_proto(before)


def test_a_change_is_reported() -> None:
    """The pass says that it changed something, so that the passes go round again."""
    before = model("y = Conv (r, v)", v=weights(RNG, 4, 8, 3, 3))
    assert FoldConstantChannels()(copied(before)).modified


@pytest.mark.parametrize(("geometry", "left"), [(PADS, 2), ("strides = [2, 2]", 0)])
def test_each_group_is_folded_alone(geometry: str, left: int) -> None:
    """A group of a convolution keeps one of its constant channels behind padding, else none."""
    before = model(f"y = Conv <group = 2, {geometry}> (r, v)", bias=np.abs(BIAS), v=weights(RNG, 4, 4, 3, 3))
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    weight = array_of(after.graph[2].inputs[1])
    assert weight is not None
    read = (weight != 0).any(axis=(2, 3)).reshape(2, 2, 4).any(axis=1).reshape(-1)
    assert np.count_nonzero(read[list(DEAD)]) == left
