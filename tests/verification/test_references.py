"""References run in both precisions, and say when they refuse an input."""

import numpy as np
import pytest
import torch
from small_models import PADS, model_from_text, to_float32, weights
from torch import nn

from swp_export.errors import InputError
from swp_export.verification import references
from swp_export.verification.references import OnnxReference, Reference, TorchReference

RNG = np.random.default_rng(0)
WEIGHT = weights(RNG, 4, 3, 3, 3).astype(np.float32)
X = RNG.normal(size=(2, 3, 5, 5)).astype(np.float32)


def torch_reference() -> Reference:
    """Return a torch module in training mode, with a Dropout."""
    module = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    module.weight = nn.Parameter(torch.from_numpy(WEIGHT), requires_grad=False)
    return TorchReference(nn.Sequential(module, nn.Dropout()).train(), "torch")


def onnx_reference() -> Reference:
    """Return the same convolution as an ONNX model."""
    model = model_from_text(f"output = Conv <{PADS}> (x, w)", y="double[N, 4, P, Q] output", w=WEIGHT)
    return OnnxReference(to_float32(model), "onnx")


@pytest.mark.parametrize("make", [torch_reference, onnx_reference])
def test_both_precisions(make: type[Reference]) -> None:
    """float64 is exact where float32 is not, and training-time behaviour is off."""
    reference = make()
    truth = torch.nn.functional.conv2d(torch.from_numpy(X).double(), torch.from_numpy(WEIGHT).double(), padding=1)
    double, single = reference.float64(X)["output"], reference.float32(X)["output"]
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    assert np.abs(double - truth.numpy()).max() < 1e-12
    assert 1e-12 < np.abs(single - truth.numpy()).max() < 1e-4


@pytest.mark.parametrize("make", [torch_reference, onnx_reference])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_refusal(make: type[Reference], precision: str) -> None:
    """An input that the network does not take is the user's error, not a traceback."""
    with pytest.raises(InputError, match=r"refuses"):
        getattr(make(), precision)(np.zeros((1, 5, 4, 4), np.float32))


def test_the_batch_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run at two images says that any number will do; it is not repeated, and another shape is another question."""
    for reference in (torch_reference(), onnx_reference()):
        ran: list[tuple[int, ...]] = []
        real = reference.float32
        monkeypatch.setattr(reference, "float32", lambda x, ran=ran, real=real: (ran.append(x.shape), real(x))[1])
        assert [reference.only_batch((3, 5, 5)) for _ in range(2)] == [None, None]
        assert ran == [(2, 3, 5, 5)]
        with pytest.raises(InputError, match="refuses"):
            reference.only_batch((5, 5, 5))


@pytest.mark.parametrize(
    ("body", "batch"),
    [
        ("output = Reshape (x, row)", 1),
        ("output = Reshape (x, rows)", None),
        ("g = GlobalAveragePool (x) output = ReduceMax <keepdims = 1> (g, first)", None),
    ],
)
def test_images_that_are_mixed_into_one_row(body: str, batch: int | None) -> None:
    """A Reshape to one row swallows a second image, which is no batch; an output over the whole batch has one row."""
    shapes = {"row": np.array([1, -1]), "rows": np.array([0, -1]), "first": np.array([0])}
    model = model_from_text(body, y="double[P, Q] output" if "row" in body else "double[P, Q, R, S] output", **shapes)
    assert OnnxReference(to_float32(model), "r").only_batch((3, 4, 4)) == batch


@pytest.mark.parametrize(("stated", "batch"), [("4", 4), ("N", None)])
def test_a_stated_batch_is_taken(stated: str, batch: int | None) -> None:
    """What a file says of its batch is believed, and tried."""
    model = model_from_text("y = Relu (x)", x=f"double[{stated}, 3, H, W] x", y="double[N, 3, H, W] y")
    assert OnnxReference(to_float32(model), "r").only_batch((3, 4, 4)) == batch


def test_optimised_or_not() -> None:
    """A reference runs optimised, can be had without, and then there is nothing more to leave out."""
    optimised = onnx_reference()
    plain = optimised.unoptimised()
    assert plain is not None
    assert plain.unoptimised() is None
    assert np.array_equal(plain.float64(X)["output"], optimised.float64(X)["output"])


def test_where_it_parts_from_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an optimised run the wrong optimisation is looked for, of another the wrong operator."""
    monkeypatch.setattr(references.parting, "misoptimised_node", lambda model, _: f"misoptimised {len(model.graph)}")
    monkeypatch.setattr(references.parting, "parting_node", lambda model, _: f"parting {len(model.graph)}")
    optimised = onnx_reference()
    plain = optimised.unoptimised()
    assert optimised.parts_at(X) == "misoptimised 1"
    assert plain is not None
    assert plain.parts_at(X) == "parting 1"


def test_a_seed_repeats_a_rounded_run() -> None:
    """Two runs moved by one seed are alike, those of two seeds are not."""
    reference = onnx_reference()
    first, again, other = (reference.rounded(seed)(X)["output"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_weights_in_constant_nodes_move_once() -> None:
    """What a Constant node gives is moved once, as a weight in an initializer is."""
    model = model_from_text("k = Constant <value_float = 2.0> () y = Mul (x, k)", y="double[N, 3, P, Q] y")
    assert references._constant_names(model.graph) == {"k"}


@pytest.mark.parametrize(("body", "half"), [("y = Cast <to = 1> (f)", True), ("y = Add (x, g)", False)])
def test_what_computes_in_float16(body: str, half: bool) -> None:
    """A network rounds to float16 where its nodes give float16, not where a weight is merely stored so."""
    text = "h = Cast <to = 10> (x) f = Add (h, w)" if half else "g = Cast <to = 1> (w)"
    model = model_from_text(f"{text} {body}", y="double[N, 3, H, W] y", w=np.ones((3, 1, 1), np.float16))
    assert OnnxReference(to_float32(model), "r").computes_in_float16 == half


@pytest.mark.parametrize("text", ["h = Cast <to = 10> (x) y = Cast <to = 1> (h)", "y = Cast <to = 1> (w)"])
def test_a_cast_or_a_weight_is_enough(text: str) -> None:
    """Float16 shows in a Cast alone, without any weight of it; what is stored so and read in float32 is not it."""
    used = {"w": np.ones((1, 3, 1, 1), np.float16)} if "(w)" in text else {}
    model = model_from_text(text, y="double[N, 3, P, Q] y", **used)
    assert OnnxReference(to_float32(model), "r").computes_in_float16 == ("h" in text)


def test_weights_alone_make_float16() -> None:
    """A network whose input is float16 needs no Cast to compute in it."""
    model = model_from_text(
        "y = Conv (x, w)", x="float16[N, 3, 4, 4] x", y="float16[N, 2, P, Q] y", w=np.ones((2, 3, 1, 1), np.float16)
    )
    assert references._float16_values(model) == {"y"}


def test_a_module_computes_in_float32() -> None:
    """What is beyond float32's ceiling is not excused by float16's."""
    assert not torch_reference().computes_in_float16


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        ("y = MaxPool <kernel_shape = [1, 1]> (x)", 0, 0),
        ("y = Mul (x, x)", 2.0**-30, 2.0**-24 * 1e4),
        ("y = Sigmoid (x)", 2.0**-26, 2.0**-23),
        ("h = Cast <to = 10> (x) y = Cast <to = 1> (h)", 1e-3, 2.0**-11 * 99.7),
        ("h = Cast <to = 10> (x) g = Mul (h, h) y = Cast <to = 1> (g)", 0.1, 3 * 2.0**-11 * 1e4),
    ],
)
def test_how_far_operators_move(body: str, least: float, most: float) -> None:
    """A pool rounds nothing; a product by a unit of it; a Sigmoid near zero by two units of one; float16 by its own."""
    reference = OnnxReference(to_float32(model_from_text(body, y="double[N, 3, P, Q] y")), "r")
    x = np.full((1, 3, 4, 4), -40.3 if "Sigmoid" in body else 99.7, np.float32)
    off = np.abs(reference.rounded(0)(x)["y"] - reference.float64(x)["y"]).max()
    assert least <= off <= most
