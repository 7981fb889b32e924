"""The float64 evaluator computes what PyTorch does in float64."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from float64_runtime import TOLERANCE, difference, unoptimised
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PADS, model_from_text, to_float32, weights

from swp_export.errors import InputError, ModelError
from swp_export.graph.float64 import execution
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.activation import error_function

RNG = np.random.default_rng(0)


def run(body: str, x: np.ndarray, **tensors: np.ndarray) -> np.ndarray:
    """Return what the float32 model of `body` computes when it is promoted."""
    model = to_float32(model_from_text(body, x=f"double[N, {x.shape[1]}, H, W] x", **tensors))
    found = Float64Model(model).run(x)["y"]
    assert found.dtype == np.float64
    return found


@settings(max_examples=100)
@given(
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    has_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_convolutions(  # noqa: PLR0917 (one per fact of a convolution)
    groups: int,
    per_group: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    extra: tuple[int, int],
    has_bias: bool,
    seed: int,
) -> None:
    """Any geometry and number of groups, with and without bias, down to one output position."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(groups * per_group[0], per_group[1], *kernel)).astype(np.float32)
    bias = rng.normal(size=groups * per_group[0]).astype(np.float32)
    size = [max(1, dilations[a] * (kernel[a] - 1) + 1 - pads[a] - pads[a + 2]) + extra[a] for a in (0, 1)]
    x = rng.normal(size=(2, groups * per_group[1], *size))
    found = run(
        f"y = Conv <group = {groups}, strides = {list(strides)}, pads = {list(pads)}, dilations = {list(dilations)}> "
        f"(x, w{', b' if has_bias else ''})",
        x,
        w=weight,
        **({"b": bias} if has_bias else {}),
    )
    padded = torch.nn.functional.pad(torch.from_numpy(x), (pads[1], pads[3], pads[0], pads[2]))
    w, b = torch.from_numpy(weight).double(), torch.from_numpy(bias).double() if has_bias else None
    truth = torch.nn.functional.conv2d(padded, w, b, strides, 0, dilations, groups).numpy()
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() < 1e-10


@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_automatic_padding(size: tuple[int, int], stride: int, kernel: int) -> None:
    """SAME pads so that ceil(size / stride) positions come out, the odd one at the end or at the beginning."""
    from swp_export.runtime.session import open_session

    x, w = RNG.normal(size=(1, 3, *size)), weights(RNG, 4, 3, kernel, kernel)
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        body = f'y = Conv <auto_pad = "{mode}", strides = [{stride}, {stride}]> (x, w)'
        single = to_float32(model_from_text(body, x="double[N, 3, H, W] x", w=w))
        truth = open_session(ir.to_proto(single)).run({"x": x.astype(np.float32)})["y"]
        found = run(body, x, w=w)
        assert found.shape == truth.shape
        assert np.abs(found - truth).max() < 1e-4


def test_more_precise_than_float32() -> None:
    """The result has float64's precision: one in 1e10 survives a sum that float32 would lose it in."""
    x = np.array([1e10, 1.0, -1e10, 0]).reshape(1, 4, 1, 1)
    assert run("y = Conv (x, w)", x, w=np.ones((1, 4, 1, 1))).item() == 1.0
    assert np.float32(1e10) + np.float32(1) - np.float32(1e10) == 0


@pytest.mark.parametrize(
    "body",
    [
        "k = Constant <value = float[1, 3, 1, 1] {0.1, 0.2, 0.3}> () y = Mul (x, k)",
        "k = Constant <value_float = 0.1> () y = Add (x, k)",
        "c = Cast <to = 1> (x) y = Mul (c, c)",
        "c = Cast <to = 11> (x) d = Cast <to = 1> (c) y = Mul (d, d)",
    ],
)
def test_constants_and_casts_are_promoted(body: str) -> None:
    """A Constant in float32 meets its float64 operand, and a Cast to float32 loses nothing."""
    x = RNG.normal(size=(2, 3, 2, 2))
    found = run(body, x)
    k = np.float32([0.1, 0.2, 0.3]).astype(np.float64).reshape(3, 1, 1)
    truth = x * k if "Mul (x" in body else x + float(np.float32(0.1)) if "Add" in body else x * x
    assert np.abs(found - truth).max() < 1e-15


def test_subgraphs_are_promoted() -> None:
    """The branches of an If compute in float64 too."""
    model = model_from_text(
        "y = If (c) <then_branch = a () => (float[N, 3, H, W] t) {k = Constant <value_float = 0.1> () t = Mul (x, k)}, "
        "else_branch = b () => (float[N, 3, H, W] e) {e = Neg (x)}>",
        x="float[N, 3, H, W] x",
        y="float[N, 3, H, W] y",
        c=np.array(True),
    )
    x = RNG.normal(size=(1, 3, 2, 2))
    assert np.abs(Float64Model(model).run(x)["y"] - x * float(np.float32(0.1))).max() < 1e-15


def test_stored_weights_among_the_inputs() -> None:
    """The image is fed to the first input that is not stored, wherever it stands."""
    import onnx

    proto = ir.to_proto(model_from_text(f"y = Conv <{PADS}> (x, w)", w=weights(RNG, 4, 3, 3, 3)))
    proto.graph.input.insert(0, onnx.helper.make_tensor_value_info("w", onnx.TensorProto.DOUBLE, [4, 3, 3, 3]))
    assert Float64Model(ir.from_proto(proto)).run(np.ones((1, 3, 4, 4)))["y"].shape == (1, 4, 4, 4)


def test_the_model_is_not_changed() -> None:
    """The given model stays in float32."""
    model = to_float32(model_from_text(f"y = Conv <{PADS}> (x, w)", w=weights(RNG, 4, 3, 3, 3)))
    before = ir.to_proto(model)
    Float64Model(model)
    assert ir.to_proto(model) == before


def test_operators_of_others() -> None:
    """An operator that is not ONNX's is an error with its name, since nothing can be compared."""
    model = model_from_text("y = other.Magic (x)", domains=["other"])
    with pytest.raises(ModelError, match="Magic"):
        Float64Model(model)


def test_too_small_an_input() -> None:
    """An input that is smaller than the kernel is refused, with both."""
    model = Float64Model(model_from_text("y = Conv (x, w)", w=weights(RNG, 4, 3, 3, 3)))
    with pytest.raises(InputError, match=r"\[2, 9\] is smaller than the kernel 3x3"):
        model.run(np.zeros((1, 3, 2, 9)))


def refused(body: str, reason: str, *, opset: int = 18, **tensors: np.ndarray) -> None:
    """Assert that the model of `body` is refused when it is read, for a reason."""
    model = to_float32(model_from_text(body, opset=opset, **tensors))
    with pytest.raises(ModelError, match=reason) as raised:
        Float64Model(model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "reason", "opset"),
    [
        ("y = Bernoulli (x)", r"node 'y' \(Bernoulli, opset 18\) draws random numbers", 18),
        ("y = RandomNormalLike (x)", "RandomNormalLike.*draws random numbers", 18),
        ("y = Dropout (x, ratio, on)", r"'y' \(Dropout, opset 18\).*in training mode draws random numbers", 18),
        ("y = Dropout (x, , on)", "in training mode draws random numbers", 18),
        ("y = BatchNormalization <training_mode = 1> (x, s, s, s, s)", "statistics of each batch", 18),
        ("y, m, v, a, b = BatchNormalization (x, s, s, s, s)", "statistics of each batch", 9),
        ("y = LSTM <hidden_size = 3, layout = 1> (x, x, x)", "layout = 1", 18),
        ("y = RNN <hidden_size = 3, activation_alpha = [0.1]> (x, x, x)", "activation_alpha", 18),
        ('y = GRU <hidden_size = 3, activations = ["Affine", "Tanh"]> (x, x, x)', "the activation 'Affine'", 18),
        ("y = DequantizeLinear (x, s)", "the model is quantised.*start from the float model", 18),
        ("y = STFT (x, s, s)", r"\(STFT, opset 18\) cannot be computed in float64.*not implemented", 18),
        ("y = Relu (x)", "an opset that is not known here, expected 7 to 26", 6),
        ('y = Constant <value_string = "a"> ()', "cannot be computed in float64: a value given as value_string", 18),
    ],
)
def test_what_cannot_be_computed_is_refused(body: str, reason: str, opset: int) -> None:
    """Random operators, training, and what is not implemented are refused by name before anything runs."""
    tensors = {"ratio": np.array(0.5), "on": np.array(True), "s": np.ones(3)}
    refused(body, reason, opset=opset, **{name: array for name, array in tensors.items() if name in body})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('y = Conv <auto_pad = "SAME_UPPER", dilations = [2, 2]> (x, w)', "dilations with auto_pad = 'SAME_UPPER'"),
        (
            'y = MaxPool <auto_pad = "SAME_UPPER", kernel_shape = [1, 1], strides = [3, 3]> (x)',
            "auto_pad that would cut the input",
        ),
        ("s = Constant <value_floats = [1.0, 1.0, 1.1, 1.0]> () y = Resize (x, , s)", "scales that change no size"),
        (
            (
                "i = Constant <value_ints = [0]> () r = Constant <value = float[1, 4] {0, 0, 1, 1}> () "
                'y = RoiAlign <mode = "max"> (x, r, i)'
            ),
            "a mode other than avg",
        ),
    ],
)
def test_settings_on_which_runtimes_differ(body: str, reason: str) -> None:
    """A setting with no agreed meaning is refused by the node's name when it is met."""
    tensors = {"w": np.ones((4, 3, 2, 2))} if "w)" in body else {}
    with pytest.raises(ModelError, match=f"node 'y'.*{reason}"):
        Float64Model(to_float32(model_from_text(body, **tensors))).run(np.ones((1, 3, 6, 6)))


def test_both_spellings_of_the_domain() -> None:
    """ONNX's operators are its own as `ai.onnx` too, in nodes and among the imports."""
    proto = ir.to_proto(model_from_text("y = Softmax (x)", opset=11))
    proto.opset_import[0].domain = proto.graph.node[0].domain = "ai.onnx"
    x = RNG.normal(size=(1, 3, 2, 2))
    assert np.allclose(Float64Model(ir.from_proto(proto)).run(x)["y"].sum(), 1)


def test_local_functions() -> None:
    """Functions of the file are run under their own opset, with the attributes they are called with."""
    import onnx.parser

    text = """<ir_version: 10, opset_import: ["": 18, "f": 1]>
        g (float[N, 3, H, W] x) => (float[N, 3, H, W] y) {a = f.twice <slope = 0.5> (x) y = f.twice (a)}
        <domain: "f", opset_import: ["": 11, "f": 1]>
        once <slope: float = 0.25> (x) => (y) {r = LeakyRelu <alpha: float = @slope> (x) y = Softmax (r)}
        <domain: "f", opset_import: ["": 18, "f": 1]>
        twice <slope: float = 0.125> (x) => (y) {a = f.once <slope: float = @slope> (x)
            k = Constant <value_float = 1.0> () b = Sub (a, k) y = f.once (b)}"""
    x = RNG.normal(size=(2, 3, 2, 2))
    seen: list[str] = []

    def on_value(name: str, array: np.ndarray) -> np.ndarray:
        seen.append(name)
        return array

    found = Float64Model(ir.from_proto(onnx.parser.parse_model(text))).run(x, on_value=on_value)["y"]

    def once(x: np.ndarray, slope: float) -> np.ndarray:
        e = np.exp(np.where(x < 0, slope * x, x)).reshape(2, -1)  # before opset 13 softmax is over all but the batch
        return (e / e.sum(axis=1, keepdims=True)).reshape(x.shape)

    a = once(once(x, 0.5) - 1, 0.25)
    assert np.abs(found - once(once(a, 0.125) - 1, 0.25)).max() < 1e-15
    assert seen == ["a", "y"]


def test_functions_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that calls itself, or functions that double themselves, are refused before they fill the memory."""
    import onnx.parser

    def with_functions(functions: str) -> ir.Model:
        head = '<ir_version: 10, opset_import: ["": 18, "f": 1]> g (float[N] x) => (float[N] y) {y = f.f0 (x)}'
        return ir.from_proto(onnx.parser.parse_model(head + functions))

    opsets = '<domain: "f", opset_import: ["": 18, "f": 1]>'
    with pytest.raises(ModelError, match="'f0' calls itself"):
        Float64Model(with_functions(f"{opsets} f0 (x) => (y) {{y = f.f0 (x)}}"))
    doubling = [f"{opsets} f{n} (x) => (y) {{a = f.f{n + 1} (x) y = f.f{n + 1} (a)}}" for n in range(40)]
    monkeypatch.setattr(execution, "MOST_NODES", 1000)
    with pytest.raises(ModelError, match="more than 1000 nodes"):
        Float64Model(with_functions("".join([*doubling, f"{opsets} f40 (x) => (y) {{y = Relu (x)}}"])))


def test_values_are_seen_and_replaced() -> None:
    """Stored floats, float Constants and every node's output are shown once, in order, and may be replaced."""
    model = to_float32(
        model_from_text(
            "k = Constant <value_float = 2.0> () i = Constant <value_ints = [1]> () h = Mul (x, w) m = Mul (h, k) "
            "y = Unsqueeze (m, i)",
            y="float[N, 1, 3, H, W] y",
            w=np.ones((3, 1, 1)),
        )
    )
    seen: list[str] = []

    def on_value(name: str, array: np.ndarray) -> np.ndarray:
        seen.append(name)
        return array * 3 if name in {"w", "h"} else array

    x = RNG.normal(size=(1, 3, 2, 2))
    truth = Float64Model(model)
    assert np.allclose(truth.run(x, on_value=on_value)["y"], 18 * x[:, None])
    assert seen == ["k", "w", "h", "m", "y"]
    assert np.allclose(truth.run(x)["y"], 2 * x[:, None])


def test_inputs_by_name() -> None:
    """Several inputs are fed by name, an integer one in its own type; a wrong set of them is refused with both."""
    model = model_from_text("g = Gather <axis = 1> (x, i) y = Identity (g)", x="float[N, 3, H, W] x, int64[K] i")
    truth = Float64Model(model)
    assert (truth.inputs, truth.outputs) == (("x", "i"), ("y",))
    x = RNG.normal(size=(1, 3, 2, 2)).astype(np.float32)
    assert np.array_equal(truth.run({"x": x, "i": np.array([2.0, 0.0])})["y"], x[:, [2, 0]].astype(np.float64))
    with pytest.raises(InputError, match="one array for the inputs x, i"):
        truth.run(x)
    with pytest.raises(InputError, match="inputs called x, expected x, i"):
        truth.run({"x": x})


def test_a_loop_that_goes_on() -> None:
    """A condition alone may end a Loop; one that does not is refused after a while."""
    for end, met in (("l = Constant <value_int = 4> () d = Less (i, l)", True), ("d = Identity (c)", False)):
        model = model_from_text(
            "t = Constant <value = bool {1}> () y = Loop (, t, x) <body = b "
            f"(int64 i, bool c, float[N, 3, H, W] p) => (bool d, float[N, 3, H, W] q) {{q = Add (p, p) {end}}}>",
            x="float[N, 3, H, W] x", y="float[A, B, C, D] y",
        )  # fmt: skip
        x = np.ones((1, 3, 1, 1), np.float32)
        if met:
            assert np.array_equal(Float64Model(model).run(x)["y"], 32 * x)
            continue
        with pytest.raises(InputError, match="goes on after 10,000 turns"):
            Float64Model(model).run(x)


def test_loops_and_scans() -> None:
    """Loop and Scan run their graphs, which see the values around them; both give what the runtime does."""
    loop = (
        "n = Constant <value_int = 3> () t = Constant <value = bool {1}> () a, y = Loop (n, t, x) <body = b "
        "(int64 i, bool c, float[N, 3, H, W] p) => (bool d, float[N, 3, H, W] q, float[N, 3, H, W] s) "
        "{d = Identity (c) f = Cast <to = 1> (i) e = Add (p, f) q = Mul (e, x) s = Neg (q)}>"
    )
    scan = (
        "k = Constant <value_float = 1.5> () z = ReduceSum <keepdims = 0> (x, ax) o, y = Scan <num_scan_inputs = 1, "
        "scan_input_axes = [2], scan_output_directions = [1], "
        "body = b (float[N, 3, W] p, float[N, 3, W] r) => (float[N, 3, W] q, float[N, 3, W] s) "
        "{m = Mul (p, k) q = Add (m, r) s = Relu (q)}> (z, x)"
    )
    for body, tensors in ((loop, {}), (scan, {"ax": np.array([2])})):
        model = model_from_text(
            body,
            x="float[N, 3, H, W] x",
            y="float[A, B, C, D, E] y" if not tensors else "float[A, B, C, D] y",
            **tensors,
        )
        x = RNG.normal(size=(2, 3, 2, 4)).astype(np.float32)
        expected = unoptimised(ir.to_proto(model), {"x": x})["y"]
        assert difference(Float64Model(model).run(x)["y"], expected) < TOLERANCE


def test_a_narrow_type_rounds_nothing() -> None:
    """A Cast to float16 and back is no rounding in the truth, and weights stored in it are what they are."""
    model = model_from_text(
        "c = Cast <to = 10> (x) m = Mul (c, w) y = Cast <to = 1> (m)",
        x="float[N, 3, H, W] x",
        w=np.array(0.1, np.float16),
    )
    x = RNG.normal(size=(1, 3, 2, 2))
    assert np.array_equal(Float64Model(model).run(x)["y"], x * float(np.float16(0.1)))


def test_a_type_without_meaning_here() -> None:
    """A stored tensor of strings or of floats of 8 bits is refused by its name."""
    import ml_dtypes

    model = model_from_text("y = Relu (x)")
    model.graph.register_initializer(
        ir.Value(name="odd", const_value=ir.tensor(np.ones(2).astype(ml_dtypes.float8_e4m3fn)))
    )
    with pytest.raises(ModelError, match="the initializer 'odd' has the type float8_e4m3fn"):
        Float64Model(model)


def test_the_error_function() -> None:
    """It is that of the standard library to 1e-15, from zero to saturation, and keeps what is not a number."""
    import math

    x = np.concatenate([RNG.uniform(-7, 7, 2000), [0, 1e-300, 1e300, -np.inf, np.inf]])
    assert np.abs(error_function(x) - [math.erf(v) for v in x]).max() < 1e-15
    assert np.isnan(error_function(np.array([np.nan]))).all()
    tiny = np.array([1e-10, -1e-5])
    assert np.allclose(error_function(tiny), [math.erf(v) for v in tiny], rtol=1e-14, atol=0)


@pytest.mark.parametrize("scale", [0.7, 0.1, 1 / 3, 1.1, 2.3, 0.6])
@pytest.mark.parametrize("rounding", ["Floor", "Ceil", ""])
def test_sizes_computed_through_floats(scale: float, rounding: str) -> None:
    """A size that a network computes in float32 is the same here: 10 * 0.7 is 7, and not 6.99999988."""
    last = f"r = {rounding} (m) i = Cast <to = 7> (r)" if rounding else "i = Cast <to = 7> (m)"
    model = model_from_text(
        f"s = Shape (x) f = Cast <to = 1> (s) m = Mul (f, k) {last} y = Identity (i)",
        x="float[N] x",
        y="int64[1] y",
        k=np.array(scale, np.float32),
    )
    proto, truth = ir.to_proto(model), Float64Model(model)
    for size in (1, 3, 7, 10, 20, 30, 40, 70, 90, 110, 640):
        x = np.zeros(size, np.float32)
        assert truth.run(x)["y"] == unoptimised(proto, {"x": x})["y"]


def test_shrink_at_its_limits() -> None:
    """What is exactly at the limit is within it, and becomes zero."""
    x = np.array([-0.75, -0.5, 0.5, 0.75]).reshape(1, 1, 1, 4)
    found = run("y = Shrink <lambd = 0.5, bias = 0.25> (x)", x)
    assert found.reshape(-1).tolist() == [-0.5, 0, 0, 0.5]


@pytest.mark.parametrize(("auto_pad", "begin"), [("SAME_UPPER", 1), ("SAME_LOWER", 2)])
def test_a_transposed_convolution_of_the_same_size(auto_pad: str, begin: int) -> None:
    """Of an odd number of positions that are cut off, the one more is at the end, or at the beginning."""
    x, weight = RNG.normal(size=(1, 2, 5, 6)), RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)
    whole = torch.nn.functional.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(weight).double()).numpy()
    found = run(f'y = ConvTranspose <auto_pad = "{auto_pad}"> (x, w)', x, w=weight)
    assert np.abs(found - whole[:, :, begin : begin + 5, begin : begin + 6]).max() < 1e-12


def test_a_window_that_sees_padding_only() -> None:
    """One window of many in which there is nothing of the map is refused: runtimes give different numbers there."""
    with pytest.raises(ModelError, match="a window that sees padding only"):
        run("y = MaxPool <kernel_shape = [1, 1], pads = [1, 0, 0, 0]> (x)", np.ones((1, 1, 3, 3)))
