"""Constants are found where they are, are what the network computes there, and are claimed nowhere else."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import PADS, model_from_text, weights

from swp_export.graph.analysis.constant_channels import constant_channels, fixed_channels
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.convolution import taps_that_see_padding
from swp_export.graph.operators.rules.elementwise import Elementwise
from swp_export.graph.operators.table import OPERATORS

if TYPE_CHECKING:
    import onnx_ir as ir

RNG = np.random.default_rng(0)
DEAD = (1, 2, 5)
BIAS = np.where(np.isin(np.arange(8), DEAD), [0, 0.7, 0.3, 0, 0, -0.6, 0, 0], RNG.normal(size=8))
UNARY = [
    operator
    for operator, row in OPERATORS.items()
    if isinstance(row.channels, Elementwise)
    and len(row.examples[0].inputs) == 1
    and operator not in {"Acosh", "Cast", "Clip", "Log", "Sqrt"}
]
SHAPE = "double[2, 3, 7, 7] x"


def claims(operator: str, *, opset: int = 18, bias: np.ndarray = BIAS, **tensors: np.ndarray) -> np.ndarray:
    """Return the constants claimed for `operator` of a Conv with three dead filters, once they are checked."""
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w, b) y = {operator}",
        x=SHAPE,
        opset=opset,
        w=weights(RNG, 8, 3, 3, 3, dead=DEAD),
        b=bias,
        **tensors,
    )
    constants = constant_channels(model.graph)
    found = constants.get(model.graph.outputs[0], np.full(8, np.nan))
    computed = Float64Model(model).run(RNG.normal(size=(2, 3, 7, 7)))["y"]
    for channel in np.flatnonzero(~np.isnan(found)):
        assert np.abs(computed[:, channel] - found[channel]).max() < 1e-6
    return found


def channels(found: np.ndarray) -> list[int]:
    """Return the channels whose constant is known."""
    return np.flatnonzero(~np.isnan(found)).tolist()


def test_dead_filters_hold_their_bias() -> None:
    """A filter with no live stripe holds its bias, and no other filter is constant."""
    found = claims("Identity (h)")
    assert channels(found) == list(DEAD)
    assert np.allclose(found[list(DEAD)], BIAS[list(DEAD)])


@pytest.mark.parametrize("operator", UNARY)
def test_unary_operators(operator: str) -> None:
    """Every operator that acts on single elements takes the constant along, in the opset that has it."""
    opset = {"Gelu": 20, "Swish": 24}.get(operator, 18)
    assert channels(claims(f"{operator} (h)", opset=opset)) == list(DEAD)


def test_sqrt_of_a_negative_constant_is_unknown() -> None:
    """What is not a number is no constant."""
    model = model_from_text("h = Conv (x, w, b) y = Sqrt (h)", x=SHAPE, w=np.zeros((2, 3, 1, 1)), b=np.array([4.0, -1]))
    assert np.array_equal(constant_channels(model.graph)[model.graph.outputs[0]], [2, np.nan], equal_nan=True)


def test_overflow_is_unknown() -> None:
    """An infinite constant is not folded: it would make NaN of every weight it meets."""
    model = model_from_text("h = Conv (x, w, b) y = Exp (h)", x=SHAPE, w=np.zeros((2, 3, 1, 1)), b=np.array([1.0, 1e3]))
    assert channels(constant_channels(model.graph)[model.graph.outputs[0]]) == [0]


def test_clip_of_every_opset() -> None:
    """Clip's bounds are inputs since opset 11, and attributes before: both count."""
    for found in (
        claims("Clip (h, low, high)", low=np.array(0.1), high=np.array(0.5)),
        claims("Clip (h, , high)", high=np.array(0.5)),
        claims("Clip <min = 0.1, max = 0.5> (h)", opset=10),
    ):
        assert channels(found) == list(DEAD)
        assert np.isclose(found[1], 0.5)


def test_batch_normalization_and_gates() -> None:
    """Per-channel constants beside the tensor are applied, in the order of the operands."""
    k = RNG.uniform(1, 2, size=(8, 1, 1))
    assert channels(claims("Sub (k, h)", k=k)) == list(DEAD)
    assert channels(claims("Mul (h, k)", k=k)) == list(DEAD)
    assert channels(claims("Mul (h, k)", k=np.where(np.arange(8) == 7, 0, 1.0).reshape(8, 1, 1))) == [1, 2, 5, 7]
    parameters = {name: RNG.uniform(1, 2, size=8) for name in "sbmv"}
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w, c) y = BatchNormalization (h, s, b, m, v)",
        x=SHAPE,
        w=weights(RNG, 8, 3, 3, 3, dead=DEAD),
        c=BIAS,
        **parameters,
    )
    found = constant_channels(model.graph)[model.graph.outputs[0]]
    computed = Float64Model(model).run(RNG.normal(size=(2, 3, 7, 7)))["y"]
    assert channels(found) == list(DEAD)
    assert np.abs(computed[:, DEAD, 3, 3] - found[list(DEAD)]).max() < 1e-9


MEAN = "AveragePool <kernel_shape = [3, 3]"


@pytest.mark.parametrize(
    ("pool", "survivors"),
    [
        ("GlobalAveragePool (h)", DEAD),
        (f"MaxPool <kernel_shape = [3, 3], {PADS}> (h)", DEAD),
        (f"{MEAN}, {PADS}> (h)", DEAD),
        (f"{MEAN}, count_include_pad = 1> (h)", DEAD),
        (f"{MEAN}, count_include_pad = 1, {PADS}> (h)", ()),
        (f'{MEAN}, count_include_pad = 1, auto_pad = "SAME_UPPER"> (h)', ()),
        (f"{MEAN}, count_include_pad = 1, ceil_mode = 1, strides = [2, 2]> (h)", ()),
    ],
)
def test_pools(pool: str, survivors: tuple[int, ...]) -> None:
    """A pool keeps a constant, except a mean that counts the padding, which keeps zero alone."""
    assert channels(claims(pool)) == list(survivors)
    zeros = np.where(np.isin(np.arange(8), DEAD), 0, BIAS)
    assert channels(claims(pool, bias=zeros)) == list(DEAD)


def test_depthwise() -> None:
    """A depthwise filter keeps a constant where it never reads padding, or where the constant is zero."""
    k = weights(RNG, 8, 1, 3, 3)
    assert channels(claims("Conv <group = 8> (h, k)", k=k)) == list(DEAD)
    assert channels(claims(f"Conv <group = 8, {PADS}> (h, k)", k=k)) == []
    k[2, 0, [0, 2]] = k[2, 0, :, [0, 2]] = 0
    assert channels(claims(f"Conv <group = 8, {PADS}> (h, k)", k=k)) == [2]


@pytest.mark.parametrize("operator", ["MatMul (h, k)", "MatMul (k, h)"])
def test_product_of_maps(operator: str) -> None:
    """A map of zeros is one of zeros after a product; another constant need not stay one."""
    k = RNG.normal(size=(7, 7))
    assert channels(claims(operator, k=k)) == np.flatnonzero(np.isin(np.arange(8), DEAD) & (BIAS == 0)).tolist()
    assert channels(claims(operator, k=k, bias=np.where(np.isin(np.arange(8), DEAD), 0, BIAS))) == list(DEAD)


@pytest.mark.parametrize(
    ("operator", "tensors"),
    [
        ("Add (h, k)", {"k": RNG.normal(size=(1, 8, 7, 7))}),
        ("Mul (h, k)", {"k": RNG.normal(size=(1, 1, 7, 7))}),
        ("ReduceMean (h, k)", {"k": np.array([1])}),
    ],
)
def test_no_claim_through_what_is_not_followed(operator: str, tensors: dict[str, np.ndarray]) -> None:
    """An operator that moves channels, or treats positions differently, ends the search and raises nothing."""
    assert channels(claims(operator, **tensors)) == []


def test_constant_nodes() -> None:
    """A Constant node with a matrix is no tensor with channels."""
    model = model_from_text("k = Constant <value = double[1, 2] {1.0, 2.0}> () y = Relu (x)", x="double[2, 3, 4, 4] x")
    assert constant_channels(model.graph) == {}


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_taps_that_see_padding_see_it(
    kernel: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    strides: tuple[int, int],
    extra: tuple[int, int],
) -> None:
    """A tap that is said to see no padding reads none at any position of an image of any size; the first one does."""
    sees = taps_that_see_padding(kernel, list(pads), list(dilations))
    for i, j in np.ndindex(kernel):
        outside = False
        for axis, tap in ((0, i), (1, j)):
            extent = dilations[axis] * (kernel[axis] - 1) + 1
            size = max(1, extent - pads[axis] - pads[axis + 2]) + extra[axis]
            positions = (size + pads[axis] + pads[axis + 2] - extent) // strides[axis] + 1
            read = strides[axis] * np.arange(positions) + dilations[axis] * tap - pads[axis]
            outside |= bool(((read < 0) | (read >= size)).any())
        assert sees[i, j] or not outside
    if pads[0] > 0:
        assert sees[0].all()


def test_every_constant_reaches_its_reader() -> None:
    """The hook sees each convolution and product that reads a tensor with constants, once, before its own output."""
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w, b) r = Relu (h) g = Conv <{PADS}> (r, v) y = Conv <{PADS}> (g, v)",
        x=SHAPE,
        w=weights(RNG, 8, 3, 3, 3, dead=DEAD),
        v=weights(RNG, 8, 8, 3, 3),
        b=BIAS,
    )
    seen: list[tuple[ir.Node, list[int]]] = []
    fixed_channels(model.graph, before_node=lambda node, maps: seen.append((node, channels(maps.constants()))))
    assert seen == [(model.graph[2], list(DEAD))]


def test_constants_through_concat() -> None:
    """A Concat lines up the constants of its inputs, what is unknown between them."""
    assert channels(claims("Concat <axis = 1> (h, x, h)")) == [*DEAD, *(11 + channel for channel in DEAD)]


@pytest.mark.parametrize("operator", ["Mul (h, k)", "Mul (k, h)"])
def test_a_factor_of_zero_on_either_side(operator: str) -> None:
    """Zero times a map is zero, whichever of the two comes first."""
    factors = np.ones((8, 1, 1))
    factors[[3, 5]] = 0
    found = claims(operator, k=factors)
    assert channels(found) == sorted({*DEAD, 3})
    assert (found[[3, 5]] == 0).all()
