"""`verify` on files: which reference, which threshold, which shape; and never torch between two ONNX files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, marked, model_from_text, to_float32, weights

from swp_export.errors import InputError, ModelError, ThresholdError
from swp_export.runtime.openvino_cpu import OpenVinoSession
from swp_export.verification.verify_file import verify

RNG = np.random.default_rng(0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write two convolutions with a Relu between them."""
    tensors = {"w0": weights(RNG, 6, 3, 3, 3), "w1": weights(RNG, 4, 6, 3, 3)}
    body = f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
    path = tmp_path / "model.onnx"
    ir.save(marked(to_float32(model_from_text(body, **tensors))), path)
    return path


def spoiled(model: Path) -> Path:
    """Write `model` with one weight of its second convolution a tenth larger."""
    other = ir.load(model)
    value = other.graph.initializers["w1"]
    array = np.array(value.const_value.numpy())
    array.reshape(-1)[np.argmax(np.abs(array))] *= 1.1
    value.const_value = ir.tensor(array, name="w1")
    path = model.with_name("spoiled.onnx")
    ir.save(other, path)
    return path


def test_a_model_is_equivalent_to_itself(model: Path) -> None:
    """Two ONNX files are compared at the shape the caller gives, since neither states one."""
    report = verify(model, against=model, input_shape=(3, 8, 8))
    assert report.equivalent
    assert any(case.input_shape[2:] == (9, 10) for case in report.cases)


def test_one_weight_makes_the_difference(model: Path) -> None:
    """One weight a tenth larger is found, and its layer named."""
    report = verify(spoiled(model), against=model, input_shape=(3, 8, 8))
    assert not report.equivalent
    assert report.first_diverging_layer == "conv1"


def test_another_device_is_what_is_verified(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In OpenVINO a right model is right; where only OpenVINO is wrong that is said, where the model is it is not."""
    pytest.importorskip("openvino")
    assert verify(model, against=model, input_shape=(3, 8, 8), device="openvino").equivalent
    assert not verify(spoiled(model), against=model, input_shape=(3, 8, 8), device="openvino").notes
    real = OpenVinoSession.run
    off = {"y": np.float32(1)}
    monkeypatch.setattr(OpenVinoSession, "run", lambda self, x: {k: v + off[k] for k, v in real(self, x).items()})
    report = verify(model, against=model, input_shape=(3, 8, 8), device="openvino")
    assert not report.equivalent
    assert "openvino is what is wrong" in report.notes[-1]


def test_a_tolerance_replaces_the_budget(model: Path) -> None:
    """What the budget forbids a generous explicit tolerance allows; half a tolerance is refused."""
    other = spoiled(model)
    assert verify(other, against=model, input_shape=(3, 8, 8), atol=1e6, rtol=0.0).equivalent
    assert not verify(other, against=model, input_shape=(3, 8, 8), atol=0.0, rtol=1e-6).equivalent
    with pytest.raises(InputError, match="both"):
        verify(other, against=model, input_shape=(3, 8, 8), rtol=1.0)


W = {"w0": weights(RNG, 6, 3, 3, 3), "w1": weights(RNG, 4, 6, 3, 3)}
TYPES = {"uint8": 2, "int8": 3, "int32": 6, "float16": 10, "double": 11}


def taking(folder: Path, dtype: str, *, factor: float = 1.0, name: str = "model") -> Path:
    """Write a float32 network behind a Cast of `dtype` inputs, its second layer's weights multiplied by `factor`."""
    body = f"f = Cast <to = 1> (x) h = Conv <{PADS}> (f, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
    tensors = {"w0": W["w0"].astype(np.float32), "w1": (factor * W["w1"]).astype(np.float32)}
    model = model_from_text(body, x=f"{dtype}[N, 3, 8, 8] x", y="float[N, 4, P, Q] y", **tensors)
    ir.save(marked(model), folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


@pytest.mark.parametrize("dtype", TYPES)
def test_inputs_of_any_number_type(dtype: str, tmp_path: Path) -> None:
    """Models whose input is no float32 are fed in their own type, and a fault in one is found at its layer."""
    model = taking(tmp_path, dtype)
    assert verify(model, against=model).equivalent
    report = verify(taking(tmp_path, dtype, factor=1.001, name="other"), against=model)
    assert not report.equivalent
    assert report.first_diverging_layer == "conv1"


@pytest.mark.parametrize(("one", "other"), [("uint8", "float"), ("float", "uint8"), ("float16", "float")])
def test_two_number_types(one: str, other: str, tmp_path: Path) -> None:
    """Models of two types are compared on inputs that both hold exactly."""
    first, second = taking(tmp_path, one), taking(tmp_path, other, name="other")
    assert verify(first, against=second).equivalent
    assert not verify(taking(tmp_path, one, factor=1.001, name="third"), against=second).equivalent


def test_other_types_are_refused(tmp_path: Path) -> None:
    """An input of numbers that NumPy does not know is refused by its name."""
    model = taking(tmp_path, "bfloat16")
    with pytest.raises(ModelError, match="takes an input of BFLOAT16, expected floats or integers"):
        verify(model, against=model)


def test_samples_of_another_type(tmp_path: Path) -> None:
    """Samples of bytes are taken if they are whole numbers of that range, and refused if not."""
    model, samples = taking(tmp_path, "uint8"), tmp_path / "samples.npz"
    images = RNG.integers(0, 256, (2, 3, 8, 8)).astype(np.float32)
    np.savez(samples, images=images)
    assert any("samples" in case.case for case in verify(model, against=model, data=samples).cases)
    np.savez(samples, images=images / 255)
    with pytest.raises(
        InputError, match=r"model's input x is uint8, expected whole numbers from 0 to 255; found 0 to [01]"
    ):
        verify(model, against=model, data=samples)


def test_an_open_shape_must_be_given(model: Path) -> None:
    """Where neither file states its input shape, the option is named."""
    with pytest.raises(InputError, match="--input-shape"):
        verify(model, against=model)


def test_a_threshold_between_two_onnx_files(model: Path) -> None:
    """It sets the reference's small stripes to zero: the file as it was then differs, and one at zero does not."""
    report = verify(model, against=model, threshold=0.5, input_shape=(3, 8, 8))
    assert not report.equivalent
    assert "of at most 0.5 times the largest norm" in report.reference
    assert verify(model, against=model, threshold=0.0, input_shape=(3, 8, 8)).equivalent
    with pytest.raises(ThresholdError, match="below 1"):
        verify(model, against=model, threshold=2.0, input_shape=(3, 8, 8))


def test_two_onnx_files_are_compared_and_measured_without_torch(model: Path) -> None:
    """On a machine without torch, verify between ONNX files, bench and inspect work."""
    code = (
        "import sys; sys.modules['torch'] = None\n"  # any import of it raises
        "import swp_export\n"
        f"path = {str(model)!r}\n"
        "assert swp_export.verify(path, against=path, input_shape=(3, 8, 8)).equivalent\n"
        "assert swp_export.inspect(path).layers\n"
        "assert swp_export.bench([path], input_shape=(3, 8, 8), seconds=0.0).models\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
