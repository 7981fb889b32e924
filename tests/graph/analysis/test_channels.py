"""Channels that stand or fall together, and those that must stay."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, model_from_text, weights

from swp_export.graph.analysis.channels import Channels

RNG = np.random.default_rng(0)
TENSORS = {"w0": weights(RNG, 8, 3, 3, 3), "w1": weights(RNG, 8, 8, 3, 3), "w4": weights(RNG, 4, 8, 3, 3)}


def build(body: str, **tensors: np.ndarray) -> ir.Model:
    """Return the model of `body`, with those of TENSORS and `tensors` that it names."""
    used = {
        name: array for name, array in (TENSORS | tensors).items() if name in body.replace(",", " ").replace(")", " ")
    }
    return model_from_text(body, x="double[2, 3, 6, 6] x", **used)


def value(model: ir.Model, name: str) -> ir.Value:
    """Return the computed value of that name."""
    return next(v for node in model.graph for v in node.outputs if v.name == name)


def identities(model: ir.Model, name: str) -> list[int]:
    """Return the channels of the value of that name."""
    found = Channels(model.graph).of(value(model, name))
    assert found is not None
    return found.tolist()


def is_pinned(model: ir.Model, name: str) -> bool:
    """Tell whether all channels of that value must stay; they do or go together here."""
    channels = Channels(model.graph)
    found = channels.of(value(model, name))
    assert found is not None
    pinned = np.isin(found, channels.pinned())
    assert pinned.all() or not pinned.any()
    return bool(pinned.all())


def test_convolution_makes_fresh_channels_and_relu_keeps_them() -> None:
    """A Conv's outputs are new channels, a Relu's are its input's."""
    model = build(f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)")
    assert identities(model, "h") == identities(model, "r")
    assert not set(identities(model, "h")) & set(identities(model, "y"))
    assert not is_pinned(model, "h")


def test_outputs_are_pinned() -> None:
    """The channels of a graph output stay."""
    assert is_pinned(build(f"h = Conv <{PADS}> (x, w0) y = Conv <{PADS}> (h, w1)"), "y")


def test_add_unites() -> None:
    """The operands of an Add have the same channels, whatever came in between."""
    model = build(
        f"h = Conv <{PADS}> (x, w0) a = Conv <{PADS}> (h, w1) b = Relu (a) s = Add (h, b) y = Conv <{PADS}> (s, w4)"
    )
    assert identities(model, "h") == identities(model, "a") == identities(model, "s")


def test_concat_lines_up() -> None:
    """A Concat's channels are those of its inputs, one after the other."""
    model = build(
        f"a = Conv <{PADS}> (x, w0) b = Conv <{PADS}> (x, w0) c = Concat <axis = 1> (a, b) y = GlobalMaxPool (c)"
    )
    assert identities(model, "c") == identities(model, "a") + identities(model, "b")


def test_flatten_repeats() -> None:
    """Flatten repeats each channel once for every position."""
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w0) f = Flatten (h) y = MatMul (f, m)",
        x="double[N, 3, 2, 2] x",
        y="double[N, M] y",
        w0=TENSORS["w0"],
        m=RNG.normal(size=(32, 2)),
    )
    assert identities(model, "f") == np.repeat(identities(model, "h"), 4).tolist()


UNDERSTOOD = [
    ("Relu (h)", {}),
    ("Clip (h, low)", {"low": np.array(0.0)}),
    ("Mul (h, k)", {"k": RNG.normal(size=(8, 1, 1))}),
    ("Mul (h, k)", {"k": RNG.normal(size=(1, 8, 1, 1))}),
    ("Mul (h, k)", {"k": np.array(2.0)}),
    ("ReduceMean (h, k)", {"k": np.array([2, 3])}),
    ("Conv <group = 8> (h, k)", {"k": weights(RNG, 8, 1, 3, 3)}),
    ("MatMul (h, k)", {"k": RNG.normal(size=(6, 2))}),
    ("MatMul (k, h)", {"k": RNG.normal(size=(2, 6))}),
    ("ReduceMean (h, k)", {"k": np.array([-1, -2])}),
    ("Concat <axis = -3> (h)", {}),
    ("Resize (h, , k)", {"k": np.array([1, 1, 2, 2], np.float32)}),
    ("Resize <axes = [3, 2]> (h, , k)", {"k": np.array([2, 2], np.float32)}),
    ("Resize <axes = [-1, 2]> (h, , , k)", {"k": np.array([9, 9])}),
]
OPAQUE = [
    ("Softmax <axis = 1> (h)", {}),
    ("ReduceMean (h, k)", {"k": np.array([1])}),
    ('Conv <group = 8, auto_pad = "SAME_UPPER"> (h, k)', {"k": weights(RNG, 8, 1, 3, 3)}),
    ("MatMul (h, k)", {"k": RNG.normal(size=(8, 6, 2))}),
    ("MatMul (h, h)", {}),
    ("Resize (h, , k)", {"k": np.array([1, 2, 1, 1], np.float32)}),
    ("Resize <axes = [1, 2]> (h, , , k)", {"k": np.array([9, 9])}),
    (
        'Resize <coordinate_transformation_mode = "tf_crop_and_resize"> (h, r, k)',
        {"r": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), "k": np.array([1, 1, 2, 2], np.float32)},
    ),
    ("ReduceMean (h)", {}),
    ("ReduceMean (h, k)", {"k": np.array([1, 2, 3])}),
    ("ReduceMean (h, k)", {"k": np.zeros(0, np.int64)}),
    ("Flatten <axis = 2> (h)", {}),
]


@pytest.mark.parametrize(("operator", "tensors"), UNDERSTOOD, ids=[op for op, _ in UNDERSTOOD])
def test_operators_that_are_followed(operator: str, tensors: dict[str, np.ndarray]) -> None:
    """Channel-wise operators pass their input's channels on."""
    model = build(f"h = Conv <{PADS}> (x, w0) y = {operator}", **tensors)
    assert identities(model, "y") == identities(model, "h")
    assert Channels(model.graph).follows(model.graph[1])


@pytest.mark.parametrize(("operator", "tensors"), OPAQUE, ids=[op for op, _ in OPAQUE])
def test_operators_that_are_not_followed_pin(operator: str, tensors: dict[str, np.ndarray]) -> None:
    """What mixes channels, or might, pins its input's channels, and its own output's are others."""
    model = build(f"h = Conv <{PADS}> (x, w0) u = {operator} y = Relu (u)", **tensors)
    assert is_pinned(model, "h")
    channels = Channels(model.graph)
    assert not channels.follows(model.graph[1])
    found = channels.of(value(model, "u"))
    assert found is None or not set(found.tolist()) & set(identities(model, "h"))


@pytest.mark.parametrize(
    ("axes", "pins"),
    [
        ("start = 0", True),
        ("start = 2", False),
        ("start = -1", False),
        ("end = 1", False),
        ("start = 1, end = 2", True),
    ],
)
def test_asking_for_the_size_of_a_map_pins_nothing(axes: str, pins: bool) -> None:
    """A Shape that leaves out the axis of the channels gives the same whatever channels there are."""
    model = build(f"h = Conv <{PADS}> (x, w0) s = Shape <{axes}> (h) t = Mul (s, s) y = Conv <{PADS}> (h, w4)")
    assert is_pinned(model, "h") == pins


@pytest.mark.parametrize("axes", ["", ", none"])
def test_a_reduction_of_all_axes_is_none_of_the_maps(axes: str) -> None:
    """Without axes, or with an empty list of them, a matrix is reduced to one number: its columns are all read."""
    model = model_from_text(
        f"m = GlobalMaxPool (x) f = Flatten (m) g = Gemm (f, w) y = ReduceMax <keepdims = 1> (g{axes})",
        x="double[2, 3, 6, 6] x",
        y="double[1, 1] y",
        w=RNG.normal(size=(3, 4)),
        **({"none": np.zeros(0, np.int64)} if axes else {}),
    )
    assert is_pinned(model, "g")
    assert not Channels(model.graph).follows(model.graph[3])


def test_a_matrix_that_is_computed_keeps_its_columns() -> None:
    """It multiplies every map from the right; its own columns are no channels of the product."""
    model = build(
        f"h = Conv <{PADS}> (x, w0) m = Flatten (x) g = Gemm (m, q) y = MatMul (h, g)", q=RNG.normal(size=(108, 5))
    )
    model.graph[2].outputs[0].shape = ir.Shape([6, 5])
    assert is_pinned(model, "g")


def test_operators_of_another_domain_pin() -> None:
    """A Relu of somebody else's domain is not ONNX's Relu."""
    model = model_from_text(
        f"h = Conv <{PADS}> (x, w0) u = other.Relu (h) y = Conv <{PADS}> (u, w1)",
        domains=["other"],
        x="double[2, 3, 6, 6] x",
        w0=TENSORS["w0"],
        w1=TENSORS["w1"],
    )
    assert is_pinned(model, "h")


def test_what_a_subgraph_reads_is_pinned() -> None:
    """A tensor that a branch of an If reads, and nothing else, keeps its channels."""
    model = build(
        f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = If (c) <then_branch = a () => (double[2, 8, 6, 6] t) "
        "{t = Relu (r)}, else_branch = b () => (double[2, 8, 6, 6] e) {e = Neg (r)}>",
        c=np.array(True),
    )
    assert is_pinned(model, "r")


@pytest.mark.parametrize(
    ("shape", "fits"), [((4,), True), ((1, 4), True), ((1,), True), ((2, 1), False), ((2, 4), False)]
)
def test_gemm_with_a_bias_per_row_is_not_followed(shape: tuple[int, ...], fits: bool) -> None:
    """A Gemm adds a bias per column to be understood; a matrix, or one per row, is another operation."""
    model = model_from_text(
        "f = GlobalMaxPool (x) g = Flatten (f) y = Gemm (g, m, c)",
        x="double[2, 3, 6, 6] x",
        y="double[2, 4] y",
        m=RNG.normal(size=(3, 4)),
        c=RNG.normal(size=shape),
    )
    assert Channels(model.graph).follows(model.graph[2]) == fits


def test_ranks_that_are_not_known() -> None:
    """An Add of tensors of unknown ranks may broadcast a matrix over maps: their channels stay apart, and stay."""
    model = build(f"h = Conv <{PADS}> (x, w0) a = Conv <{PADS}> (h, w1) s = Add (h, a) y = Conv <{PADS}> (s, w4)")
    for node in list(model.graph)[:2]:
        node.outputs[0].shape = None
    assert identities(model, "h") != identities(model, "a")
    assert is_pinned(model, "h")
    assert is_pinned(model, "a")


def test_the_size_of_a_tensor_of_unknown_rank_pins() -> None:
    """Which axes a Shape leaves out is not known where the rank is not."""
    model = build(f"h = Conv <{PADS}> (x, w0) s = Shape <start = -1> (h) y = Conv <{PADS}> (h, w4)")
    model.graph[0].outputs[0].shape = None
    assert is_pinned(model, "h")
