"""Sessions on the CPU, and the errors of loading and running."""

import numpy as np
import onnx
import onnx.parser
import pytest

from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.runtime.error_messages import is_device_failure, plain_message
from swp_export.runtime.onnxruntime_cuda import provider_options
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)


def relu(*, ir=8, opset=18, operator="Relu"):
    """Return a model of one operator over float[N, 3, 4, 4]."""
    return onnx.parser.parse_model(
        f'<ir_version: {ir}, opset_import: ["": {opset}], metadata_props: ["key": "value"]> '
        f"tiny (float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) {{ y = {operator}(x) }}"
    )


def test_a_loop_without_end_is_stopped(monkeypatch):
    """A run that its Loop keeps going is refused; one whose condition ends it is not."""
    monkeypatch.setattr("swp_export.runtime.limits.LONGEST_LOOP", 0.05)
    loop = (
        '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) {{ t = Constant <value = bool {{1}}> ()'
        " y = Loop (, t, x) <body = b (int64 i, bool c, float[1] p) => (bool d, float[1] q) {{ q = Abs (p) {end} }}> }}"
    )
    x = np.ones(1, np.float32)
    with pytest.raises(InputError, match=r"a loop that does not end"):
        open_session(onnx.parser.parse_model(loop.format(end="d = Identity (c)"))).run({"x": x})
    ending = onnx.parser.parse_model(loop.format(end="l = Constant <value_int = 4> () d = Less (i, l)"))
    assert open_session(ending).run({"x": x})["y"] == x


def test_a_session_runs_and_says_what_it_is():
    """Outputs, specifications, metadata and provider are the model's."""
    session = open_session(relu(), Target(threads=2))
    np.testing.assert_array_equal(session.run({"x": X})["y"], np.maximum(X, 0))
    assert session.inputs[0].shape == ("N", 3, 4, 4)
    assert session.outputs[0].dtype == np.float32
    assert session.metadata == {"key": "value"}
    assert session.provider == "CPUExecutionProvider"


def test_a_file_loads_by_path_and_by_string(tmp_path):
    """A path and its string are the same model."""
    path = tmp_path / "relu.onnx"
    onnx.save(relu(), path)
    assert open_session(path).inputs == open_session(str(path)).inputs


def test_a_bound_run_reads_what_was_uploaded():
    """Calling a bound run computes the outputs of the last upload, and leaves the caller's array alone."""
    given = X.copy()
    bound = open_session(relu()).bind({"x": given})
    np.testing.assert_array_equal(bound.download()["y"], np.maximum(X, 0))
    bound.upload({"x": -X})
    bound()
    np.testing.assert_array_equal(bound.download()["y"], np.maximum(-X, 0))
    np.testing.assert_array_equal(given, X)


def test_a_caller_runs_the_model():
    """The call for the stopwatch computes what `run` does."""
    session = open_session(relu())
    assert np.array_equal(session.caller({"x": X})()[0], session.run({"x": X})["y"])


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ({"x": X[:, :2]}, "Got: 2 Expected: 3"),
        ({"x": X[0]}, "Got: 3 Expected: 4"),
        ({"x": X.astype(np.float64)}, "tensor(double)"),
        ({"z": X}, "z"),
        ({}, "issing"),
    ],
)
@pytest.mark.parametrize("way", ["run", "bind", "caller"])
def test_a_refused_input_is_an_input_error(feeds, reason, way, capfd):
    """Wrong shape, rank, dtype or name: one line that says so, and nothing from C++."""
    session = open_session(relu())
    with pytest.raises(InputError) as caught:
        getattr(session, way)(feeds)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_file_and_directory_are_named(tmp_path):
    """What is not a file says so."""
    with pytest.raises(ModelError, match=r"nothing\.onnx: no such file"):
        open_session(tmp_path / "nothing.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        open_session(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello world", "is not an ONNX model"),
        (relu().SerializeToString()[:-10], "is truncated or damaged"),
        (relu(opset=99).SerializeToString(), "uses opset 99, onnxruntime"),
        (relu(ir=99).SerializeToString(), "Unsupported model IR version: 99"),
        (relu(operator="Relux").SerializeToString(), "No Op registered for Relux"),
    ],
)
def test_a_file_that_is_no_usable_model_says_why(content, reason, tmp_path, capfd):
    """Each way of being no usable model has one line, for a file and for bytes, and nothing comes from C++."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    for model in (path, content):
        with pytest.raises(ModelError) as caught:
            open_session(model)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "onnxruntime_src" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_profile_and_optimised_model_are_written(tmp_path):
    """Both files are where they were asked for."""
    session = open_session(relu(), profile_prefix=tmp_path / "profile", optimized_model=tmp_path / "optimized.onnx")
    session.run({"x": X})
    assert session.end_profiling().parent == tmp_path
    assert onnx.load(tmp_path / "optimized.onnx").graph.node[0].op_type == "Relu"


def test_another_provider_than_the_one_asked_for_is_an_error():
    """A session that asked for CUDA and has the CPU provider says so, whatever led there."""
    session = open_session(relu())
    object.__setattr__(session, "asked_provider", "CUDAExecutionProvider")
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        session.run({"x": X})


def test_cuda_options_are_spelled_for_onnx_runtime():
    """TF32 is off unless asked for, and every option is a string."""
    assert provider_options(Target(device="cuda"))["use_tf32"] == "0"
    options = provider_options(Target(device="cuda:1", tf32=True, cuda_graph=True))
    assert (options["use_tf32"], options["enable_cuda_graph"], options["device_id"]) == ("1", "1", "1")


@pytest.mark.parametrize(
    "text",
    ["CUDNN failure 3: BAD_PARAM", "CUDA failure 2: out of memory", "CUBLAS failure 1: x", "CUDNN_FE failure 11"],
)
def test_failures_of_the_device_are_told_from_those_of_the_input(text):
    """What CUDA, cuDNN and cuBLAS report is the device's."""
    assert is_device_failure(RuntimeError(text))
    assert not is_device_failure(RuntimeError("Got invalid dimensions for input: x"))


def test_messages_lose_codes_locations_and_line_breaks():
    """Only what is wrong is left of an ONNX Runtime message."""
    error = RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : Load model from a.onnx failed:/onnxruntime_src/model.cc:256 "
        "onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&) Unsupported\n version: 99."
    )
    assert plain_message(error) == "Unsupported version: 99"
