"""OpenVINO behind the interface of all runtimes."""

import numpy as np
import onnx
import onnx.parser
import pytest

from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.runtime import openvino_cpu
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target

openvino = pytest.importorskip("openvino")
TARGET = Target(device="openvino")
X = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
TEXT = (
    '<ir_version: 8, opset_import: ["": 18], metadata_props: ["key": "value"]> tiny '
    "(float[N, 3, H, W] x, int64[N] i) => (float[N, 3, H, W] y, int64[N] j) { y = Relu (x) j = Neg (i) }"
)


@pytest.fixture(scope="module")
def session():
    """Return a model of two inputs and outputs."""
    return open_session(onnx.parser.parse_model(TEXT), TARGET)


def test_it_says_what_the_model_says(session):
    """Names, symbols, types and metadata are those of the file."""
    assert [(spec.name, spec.shape, spec.dtype) for spec in session.inputs] == [
        ("x", ("N", 3, "H", "W"), np.float32),
        ("i", ("N",), np.int64),
    ]
    assert [spec.name for spec in session.outputs] == ["y", "j"]
    assert session.metadata == {"key": "value"}


@pytest.mark.parametrize("batch", [1, 2])
def test_it_computes(session, batch):
    """Outputs come by name, at every shape, and stay what they are after the next run."""
    first = session.run({"x": X[:batch], "i": np.arange(batch)})
    session.run({"x": -X[:batch], "i": np.arange(batch)})
    np.testing.assert_array_equal(first["y"], np.maximum(X[:batch], 0))
    np.testing.assert_array_equal(first["j"], -np.arange(batch))
    assert session.provider == "OpenVINO CPU"


def test_a_caller_runs_the_model(session):
    """The call for the stopwatch leaves the caller's array alone."""
    given = X.copy()
    session.caller({"x": given, "i": np.arange(2)})()
    np.testing.assert_array_equal(given, X)


@pytest.mark.parametrize(
    "feeds",
    [
        {"x": X[:, :2], "i": np.arange(2)},
        {"x": X.astype(np.float64), "i": np.arange(2)},
        {"x": X[0], "i": np.arange(2)},
        {"i": np.arange(2)},
    ],
)
@pytest.mark.parametrize("way", ["run", "caller"])
def test_a_refused_input_is_one_line(session, feeds, way, capfd):
    """Shape, type or name: what was given is said, and nothing from C++."""
    with pytest.raises(InputError, match="tiny takes the input") as caught:
        getattr(session, way)(feeds)
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_it_cannot_read_is_a_model_error(tmp_path):
    """Bytes, files and operators."""
    (tmp_path / "bad.onnx").write_bytes(b"hello")
    unknown = onnx.parser.parse_model(TEXT.replace("Relu (x)", "Relux (x)"))
    for model in (b"hello", tmp_path / "bad.onnx", unknown):
        with pytest.raises(ModelError, match="refused by OpenVINO") as caught:
            open_session(model, TARGET)
        assert "\n" not in str(caught.value)


def test_what_only_onnx_runtime_has_is_refused():
    """Nothing is ignored silently."""
    with pytest.raises(DeviceError, match="neither profiles nor graphs"):
        open_session(onnx.parser.parse_model(TEXT), TARGET, optimise=False)


def test_a_machine_without_it_is_told_how_to_install_it(monkeypatch):
    """The extra is named."""
    monkeypatch.setattr(openvino_cpu.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"device openvino is not available: .*'swp-export\[openvino\]'"):
        open_session(onnx.parser.parse_model(TEXT), TARGET)
