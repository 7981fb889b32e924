"""The float64 evaluator computes what PyTorch does in float64."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PADS, model_from_text, to_float32, weights

from swp_export.errors import InputError, ModelError
from swp_export.graph.float64.model import Float64Model

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
