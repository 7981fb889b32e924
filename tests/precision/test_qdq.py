"""A lowered model in int8 is standard QDQ, computes what its integers say, and runs in integers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from int8_models import X, changed, int8_model, int8_plan, stored
from tunable_models import LAYERS

from swp_export.precision.integer_reference import IntegerReference
from swp_export.precision.scheme import Scheme
from swp_export.runtime.session import open_session
from swp_export.tuning.integer_layers import INTEGER_LOWERINGS

if TYPE_CHECKING:
    from pathlib import Path

SCHEMES = {"uint8": Scheme(), "int8": Scheme(symmetric=True), "7 bits": Scheme(weight_bits=7)}


def steps(content: bytes) -> dict[str, int]:
    """Return how many steps each value is off on X; asserts that none is further off than allowed."""
    reference = IntegerReference(content)
    found = reference.steps(X, reference.looked_into()(X))
    assert [each for each in found if not each.ok] == []
    return {each.value: each.allowed for each in found}


@pytest.mark.parametrize("lowering", INTEGER_LOWERINGS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_form_follows_the_integer_reference(lowering: str, scheme: Scheme) -> None:
    """Of every form that is tried in int8 products are within one step, and shifts and pools bit for bit."""
    allowed = steps(int8_model(lowering, scheme=scheme))
    assert 0 in allowed.values()


def test_shifts_are_exact() -> None:
    """What a one-hot depthwise convolution moves has one scale before and behind it, and is moved bit for bit."""
    content = int8_model("shift-sum")
    assert steps(content)["conv0/shift"] == 0
    assert stored(content, "conv0/shift/scale") == stored(content, "conv0/stripes/scale")
    assert np.unique(stored(content, "conv0/weight_1/quantized")).tolist() == [0, 127]


@pytest.mark.parametrize("lowering", INTEGER_LOWERINGS)
def test_convolutions_run_in_integers(lowering: str, tmp_path: Path) -> None:
    """ONNX Runtime makes an integer kernel of every convolution."""
    open_session(int8_model(lowering), optimized_model=tmp_path / "run.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node)
    assert operators["QLinearConv"] >= len(LAYERS)
    assert not {"Conv", "FusedConv"} & operators.keys()


def test_layers_may_stay_float() -> None:
    """A layer that the plan leaves in float32 has float weights, and the others follow the reference."""
    content = int8_model("shift-sum", floats=("conv1",))
    steps(content)
    assert stored(content, "conv1/weight").dtype == np.float32
    assert stored(content, "conv2/weight/quantized").dtype == np.int8


def test_close_to_the_float_network() -> None:
    """Rounding leaves at least 25 dB of the outputs."""
    y = open_session(int8_model("shift-sum")).run_on(X)["y"]
    truth = open_session(int8_model("shift-sum", floats=LAYERS)).run_on(X)["y"]
    assert (truth**2).mean() > 300 * ((y - truth) ** 2).mean()


def test_nothing_is_broken_by_a_bias_without_weights() -> None:
    """A filter of zeros keeps its bias: it has a scale though its weights have none."""
    content = int8_model("dense")
    scales, bias = stored(content, "conv0/weight/scale"), stored(content, "conv0/bias/scale")
    assert (scales > 0).all()
    assert (bias > 0).all()


def test_a_shift_the_wrong_way_is_found() -> None:
    """One moved tap of a shift's integers is another network, which the verification of it names."""
    content = int8_model("shift-sum")
    weight = stored(content, "conv0/weight_1/quantized")
    moved = changed(content, "conv0/weight_1/quantized", weight[:, :, ::-1].copy())
    assert not np.array_equal(open_session(moved).run_on(X)["y"], open_session(content).run_on(X)["y"])


def test_plans_say_which_layers() -> None:
    """`int8:` stands before the lowering of each layer that is in int8."""
    assert int8_plan("dense", floats=("conv0",)) == {"conv0": "dense", "conv1": "int8:dense", "conv2": "int8:dense"}


@pytest.mark.parametrize("lowering", ["dense", "shift-sum"])
def test_float_layers_stay_float(lowering: str, tmp_path: Path) -> None:
    """ONNX Runtime rounds no weights of a layer between two others that the plan leaves in float32."""
    content = int8_model(lowering, floats=("conv1",))
    steps(content)
    open_session(content, optimized_model=tmp_path / "run.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node)
    assert operators["Conv"] + operators["FusedConv"] == (1 if lowering == "dense" else 3)


def openvino(content: bytes) -> np.ndarray:
    """Run OpenVINO on the CPU on X."""
    core = pytest.importorskip("openvino").Core()
    return np.array(core.compile_model(core.read_model(content, b""), "CPU")([X])[0])


@pytest.mark.parametrize("scheme", [Scheme(), Scheme(symmetric=True)], ids=["uint8", "int8"])
def test_openvino_takes_it(scheme: Scheme) -> None:
    """QDQ is standard: OpenVINO computes the same, but for a step of rounding here and there."""
    content = int8_model("shift-sum", scheme=scheme)
    truth = open_session(content).run_on(X)["y"]
    assert (truth**2).mean() > 1000 * ((openvino(content) - truth) ** 2).mean()


def test_tensorrt_gets_float_biases() -> None:
    """TensorRT dequantizes 8 bits only: with its scheme biases stay float32, and activations are about 0."""
    content = int8_model("shift-sum", scheme=Scheme(symmetric=True))
    tensors = {t.name: t.data_type for t in onnx.ModelProto.FromString(content).graph.initializer}
    assert onnx.TensorProto.INT32 not in tensors.values()
    assert not any(stored(content, name).any() for name in tensors if name.endswith("/zero"))
