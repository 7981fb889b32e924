"""The integer reference finds what a kernel computes wrongly, in the layer where it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from int8_models import X, int8_model, saturating_products
from small_models import model_from_text, to_bytes, to_float32

from swp_export.errors import ModelError
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import LAYER
from swp_export.precision.integer_reference import IntegerReference, is_quantised, worst_steps
from swp_export.precision.qdq import quantise
from swp_export.precision.ranges import Ranges
from swp_export.precision.scheme import Scheme


def pointwise_model(scheme: Scheme) -> bytes:
    """Return a 1x1 convolution of four channels whose weights are all as large as they get, in int8."""
    model = to_float32(model_from_text("y = Conv (x, w)", x="double[N, 4, H, W] x", w=np.ones((2, 4, 1, 1))))
    (conv,) = model.graph
    conv.metadata_props[LAYER] = conv.name = "layer"
    quantise(model, ["layer"], Ranges(ends={"x": (0.0, 1.0), "y": (0.0, 4.0)}, peaks={}), scheme)
    return serialized(model, {})


def as_without_vnni(content: bytes, actual: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return `actual` with the convolution's integers as a processor without VNNI gives them."""
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(content).graph.initializer}
    x, weight = actual["x/quantized"], tensors["w/quantized"][:, :, 0, 0]
    scale = tensors["x/scale"] * tensors["w/scale"] / tensors["y/scale"]
    sums = np.stack([saturating_products(image.reshape(4, -1), weight) for image in x])
    y = np.clip(np.rint(sums * scale[:, None]), 0, 255).astype(np.uint8).reshape(len(x), 2, *x.shape[2:])
    return {**actual, "y/quantized": y}


@pytest.mark.parametrize(("bits", "saturates"), [(8, True), (7, False)])
def test_saturation_is_found(bits: int, saturates: bool) -> None:
    """What saturates in 16 bits is many steps off, and named; with weights of 7 bits nothing does."""
    content = pointwise_model(Scheme(weight_bits=bits))
    reference, x = IntegerReference(content), np.ones((1, 4, 2, 2), np.float32)
    actual = as_without_vnni(content, dict(reference.looked_into()(x)))
    off = [each for each in reference.steps(x, actual)[:2] if not each.ok]
    assert [(each.layer, each.value) for each in off] == ([("layer", "y/float")] if saturates else [])
    assert all(each.steps > 100 and each.off == 8 for each in off)


def test_one_wrong_integer_is_found() -> None:
    """One integer that is two steps off, of a thousand, is counted where it is, and nowhere else."""
    reference = IntegerReference(int8_model("shift-sum"))
    actual = dict(reference.looked_into()(X))
    wrong = actual["conv1/sum/quantized"] if "conv1/sum/quantized" in actual else actual["rb/quantized"]
    wrong[0, 0, 0, 0] = wrong[0, 0, 0, 0] - 3 if wrong[0, 0, 0, 0] > 100 else wrong[0, 0, 0, 0] + 3
    off = [each for each in reference.steps(X, actual) if not each.ok]
    assert off[0].layer == "conv1"
    assert (off[0].steps, off[0].off) == (3, 1)


def test_a_moved_integer_may_not_differ_at_all() -> None:
    """One step is an error where values are only moved."""
    reference = IntegerReference(int8_model("shift-sum"))
    actual = dict(reference.looked_into()(X))
    actual["conv0/shift/quantized"][0, 0, 0, 0] ^= 1
    assert next(each.value for each in reference.steps(X, actual) if not each.ok) == "conv0/shift"


def test_floats_behind_it_are_compared_too() -> None:
    """A classifier that gives something else than its integers explain is off."""
    reference = IntegerReference(int8_model("dense"))
    actual = dict(reference.looked_into()(X))
    actual["y"] = actual["y"] * np.float32(1.001)
    assert [each.value for each in reference.steps(X, actual) if not each.ok] == ["y"]


def test_the_worst_run_counts() -> None:
    """Of several runs each value's largest distance is kept, and all that is off is counted."""
    reference = IntegerReference(int8_model("dense"))
    run = reference.looked_into()
    wrong = dict(run(X))
    wrong["rc/quantized"] = wrong["rc/quantized"] ^ 2
    found = worst_steps([reference.steps(X, run(X)), reference.steps(X, wrong)])
    assert next(each for each in found if each.value == "rc").steps >= 2


def test_scales_that_are_computed_are_refused() -> None:
    """A model whose scale is no constant is refused by the name of the node."""
    text = "s = Abs (c) q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)"
    model = model_from_text(
        text, x="float[N, 3, H, W] x", y="float[N, 3, H, W] y", c=np.float32(1).reshape(()), z=np.uint8(0).reshape(())
    )
    assert is_quantised(model)
    with pytest.raises(ModelError, match="expected one constant scale"):
        IntegerReference(to_bytes(model))
