"""Constants leave the weights that read them, and the function stays, borders included."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PADS, copied, furthest, model_from_text, weights

from swp_export.errors import SwpExportError
from swp_export.graph.constants import array_of
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.passes.fold_constant_channels import FoldConstantChannels, spanning

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


def chain(
    behind: str, *, sizes: tuple[object, object] = ("H", "W"), dead: int = 40, channels: int = 44, **tensors: np.ndarray
) -> ir.Model:
    """Return a 1x1 layer of which the first `dead` filters are dead, a Relu, and what `behind` spells of it, `r`."""
    rng = np.random.default_rng(1)
    return model_from_text(
        f"h = Conv (x, w, b) r = Relu (h) {behind}",
        x=f"double[N, 3, {sizes[0]}, {sizes[1]}] x",
        w=weights(rng, channels, 3, 1, 1, dead=range(dead)),
        b=rng.uniform(0.5, 1.5, size=channels),
        **tensors,
    )


def held(after: ir.Model, dead: int = 40) -> int:
    """Return how many of the dead channels the last node's weight reads."""
    return sum(column < dead for column in columns(after, len(after.graph) - 1))


@st.composite
def geometries(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], list[int]]:
    """Draw kernel, strides, pads and dilations."""
    kernel, strides = ([draw(st.integers(1, top)) for _ in "hw"] for top in (4, 3))
    return kernel, strides, [draw(st.integers(0, 3)) for _ in range(4)], [draw(st.integers(1, 2)) for _ in "hw"]


def spelled(geometry: tuple[list[int], ...]) -> str:
    """Return the attributes of a convolution."""
    return ", ".join(
        f"{name} = {value}" for name, value in zip(("strides", "pads", "dilations"), geometry, strict=True)
    )


@settings(max_examples=40)
@given(
    geometry=geometries(),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    is_open=st.booleans(),
    operator=st.sampled_from(["Conv", "ConvTranspose"]),
    padded=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_borders_behind_depthwise_convolutions(
    geometry: tuple[list[int], ...],
    size: tuple[int, int],
    is_open: bool,
    operator: str,
    padded: bool,
    seed: int,
) -> None:
    """What padding makes of constants is told by a few channels, whatever the geometry, however small the map."""
    rng, (kernel, *rest) = np.random.default_rng(seed), geometry
    behind = f"Conv <{PADS if padded else 'group = 1'}> (s, v, e)"
    before = chain(
        f"d = {operator} <group = 44, {spelled(tuple(rest))}> (r, k, c) s = Sigmoid (d) y = {behind}",
        sizes=("H", "W") if is_open else size,
        k=rng.normal(size=(44, 1, *kernel)),
        c=rng.normal(size=44),
        v=rng.normal(size=(2, 44, *([3, 3] if padded else [1, 1]))),
        e=np.zeros(2),
    )
    after = folded(before)
    for shape in [size, (size[0] + 1, size[1] + 2), (1, 1), (9, 1)] if is_open else [size]:
        if fits(before, shape):
            assert furthest(before, after, rng.normal(size=(1, 3, *shape))) < 1e-7


def fits(model: ir.Model, size: tuple[int, int]) -> bool:
    """Tell whether the model admits images of `size`."""
    try:
        Float64Model(model).run(np.zeros((1, 3, *size)))
    except SwpExportError:
        return False
    return True


@pytest.mark.parametrize(
    ("sizes", "stride", "most"),
    [((7, 7), 1, 9), ((14, 14), 2, 4), ((2, 2), 1, 4), (("H", "W"), 1, 16), ((7, "W"), 1, 12)],
)
def test_how_many_channels_tell_all_borders(sizes: tuple[object, object], stride: int, most: int) -> None:
    """Of 40 constants through a padded 3x3 depthwise convolution stay as many as there are kinds of places, less one.

    The reader's bias tells one. At stride 2 over an even map the first row and column alone differ.
    """
    before = chain(
        f"d = Conv <group = 44, {PADS}, strides = [{stride}, {stride}]> (r, k) s = Sigmoid (d) y = Conv (s, v)",
        sizes=sizes,
        k=RNG.normal(size=(44, 1, 3, 3)),
        v=RNG.normal(size=(2, 44, 1, 1)),
    )
    after = folded(before)
    image = [size if isinstance(size, int) else 6 for size in sizes]
    assert furthest(before, after, RNG.normal(size=(2, 3, *image))) < 1e-9
    assert held(after) == most - 1


@pytest.mark.parametrize(
    ("operator", "most"),
    [
        (f"AveragePool <kernel_shape = [3, 3], {PADS}, count_include_pad = 1> (r)", 1),
        ("Pad (r, ring)", 1),
        (f"Conv <{PADS}, group = 44> (r, k)", 8),
        ("ConvTranspose <group = 44, strides = [2, 2]> (r, k)", 9),
    ],
)
def test_fixed_maps_of_linear_operators(operator: str, most: int) -> None:
    """One channel tells what a mean that counts its padding makes of all constants, or a border of zeros.

    A filter of 3x3 taps makes sums of nine maps. A map of ones, which the bias tells, is among them where the centre
    always sees the map, and not where a place sees one tap or two.
    """
    tensors = {"ring": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "k": RNG.normal(size=(44, 1, 3, 3))}
    used = {name: array for name, array in tensors.items() if f", {name})" in operator}
    before = chain(f"d = {operator} y = Conv (d, v)", sizes=(6, 5), v=RNG.normal(size=(2, 44, 1, 1)), **used)
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    assert held(after) == most


def test_a_bias_is_no_substitute_behind_padding() -> None:
    """A padded reader of fixed maps gets one channel more: its own padding cuts the ones that a bias would add."""
    before = chain(
        f"d = Conv <group = 44, {PADS}> (r, k) s = Sigmoid (d) y = Conv <{PADS}> (s, v)",
        sizes=(6, 5),
        k=RNG.normal(size=(44, 1, 3, 3)),
        v=RNG.normal(size=(2, 44, 3, 3)),
    )
    after = folded(before)
    assert furthest(before, after, X) < 1e-9
    assert held(after) == 9


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_few_rows_tell_all(rows: int, maps: int, rank: int, with_ones: bool, seed: int) -> None:
    """Rows are sums of the chosen ones, of which there are no more than their rank, with shares that are not large."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, maps))
    ones = np.ones(maps) if with_ones else None
    chosen, shares, rest = spanning(values, ones)
    assert chosen.size <= min(rank, rows, maps)
    assert np.abs(shares @ values[chosen] + rest[:, None] * np.ones(maps) - values).max() < 1e-8
    assert np.abs(shares).max(initial=0) < 8


def test_shares_that_are_nothing_but_rounding_are_none() -> None:
    """A row that is told by one other has no share of the rest, and all rows are the sums that they are said to be."""
    first, second = np.random.default_rng(0).normal(size=(2, 5))
    values = np.stack([first, second, first / 3, second - first])
    chosen, shares, rest = spanning(values, None)
    assert chosen.size == 2
    assert np.allclose(shares @ values[chosen], values, rtol=0, atol=1e-12)
    assert not rest.any()
    assert np.count_nonzero(shares, axis=1).min() == 1
