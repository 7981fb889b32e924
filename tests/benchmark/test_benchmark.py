"""The benchmark as a whole."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import onnx.parser
import pytest

from swp_export.benchmark import bench, benchmark, contestant
from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.runtime.cuda import read_driver

QUICK = {"seconds": 0.0}


def test_the_json_document_has_the_keys_of_the_contract(tiny_file):
    """What CI relies on is there, for one model and one batch."""
    document = json.loads(json.dumps(bench([tiny_file], **QUICK).to_json()))
    assert {"device", "provider", "threads", "batch", "models", "ratios", "environment"} <= set(document)
    assert (document["device"], document["provider"], document["batch"]) == ("cpu", "CPUExecutionProvider", 1)
    assert document["ratios"] == []
    (model,) = document["models"]
    assert {"model", "median_ms", "p90_ms", "p99_ms", "iqr_ms", "runs"} <= set(model)
    assert model["sha256"] == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert model["shape"] == [1, 3, 8, 8]
    assert model["runs"] >= 10
    environment = document["environment"]
    assert {"versions", "platform", "cpu", "clock", "threads", "seed", "cold"} <= set(environment)
    assert environment["clock"]["source"]


def test_every_model_is_compared_with_the_first(tiny_file, tmp_path):
    """Without a baseline the first model is it, and a copy of it is a model of its own."""
    copy = tmp_path / "copy.onnx"
    shutil.copy(tiny_file, copy)
    report = bench([tiny_file, copy], **QUICK)
    (row,) = report.to_json()["ratios"]
    assert (row["model"], row["baseline"]) == (str(copy), str(tiny_file))
    assert row["low"] <= row["speedup"] <= row["high"]
    assert row["verdict"] in {"faster", "slower", "not distinguishable"}


def test_the_baseline_is_first_and_measured_once(tiny_file, tmp_path):
    """Named among the models or not, the baseline has one row."""
    copy = tmp_path / "copy.onnx"
    shutil.copy(tiny_file, copy)
    report = bench([copy, tiny_file], baseline=tiny_file, **QUICK)
    assert [result.model for result in report.models] == [str(tiny_file), str(copy)]
    assert [row.baseline for row in report.ratios] == [str(tiny_file)]


def test_several_batches_have_rows_of_their_own(tiny_file):
    """Each model and each ratio says its batch, and the document lists them all."""
    document = bench([tiny_file, tiny_file], batch=[1, 3], **QUICK).to_json()
    assert document["batch"] == [1, 3]
    assert [row["batch"] for row in document["models"]] == [1, 1, 3, 3]
    assert [row["shape"][0] for row in document["models"]] == [1, 1, 3, 3]
    assert [row["batch"] for row in document["ratios"]] == [1, 3]


def test_layers_are_in_the_report_if_asked_for(tiny_file):
    """Each model's row has its layers."""
    (model,) = bench([tiny_file], layers=True, **QUICK).to_json()["models"]
    assert [layer["layer"] for layer in model["layers"]][:2] == ["features.0", "features.3"]


def test_threads_and_batches_are_crossed(tiny_file):
    """Each number of threads is measured with each batch, and the document lists both."""
    document = bench([tiny_file, tiny_file], threads=[1, 2], batch=[1, 3], **QUICK).to_json()
    assert (document["threads"], document["batch"]) == ([1, 2], [1, 3])
    assert [(row["threads"], row["batch"]) for row in document["ratios"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]


def test_streams_are_sessions_at_once(tiny_file):
    """The runs of all streams are in the samples, and throughput is that of all."""
    (model,) = bench([tiny_file], streams=3, batch=2, **QUICK).models
    assert all(times.size % 3 == 0 for rounds in model.samples for times in rounds)
    means = [times.mean() for rounds in model.samples for times in rounds]
    assert model.images_per_second == pytest.approx(3 * 2 / np.median(means))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"streams": 2, "threads": 2}, "one thread each"),
        ({"streams": 0}, "at least one stream"),
        ({"tf32": True}, "--tf32 would do nothing on device cpu"),
        ({"cuda_graph": True, "device": "openvino"}, "--cuda-graph would do nothing on device openvino"),
        ({"layers": True, "device": "openvino"}, "leave out --layers"),
    ],
)
def test_options_that_do_nothing_are_refused_before_measuring(tiny_file, options, reason):
    """Nobody believes a figure to be of what was not done."""
    pytest.importorskip("openvino")
    with pytest.raises((InputError, DeviceError), match=reason):
        bench([tiny_file], **options)


def test_openvino_is_measured_by_the_same_words(tiny_file):
    """Its name, its version and its figures are in the report."""
    pytest.importorskip("openvino")
    report = bench([tiny_file], device="openvino", **QUICK)
    assert report.provider == "OpenVINO CPU"
    assert set(report.environment.versions) >= {"openvino", "swp-export"}
    assert not {"onnxruntime", "onnxruntime-gpu"} & set(report.environment.versions)
    assert report.models[0].images_per_second > 0


def test_samples_of_the_user_are_what_is_measured_on(tiny_file, tmp_path, monkeypatch):
    """`data` is fed, over again where there are fewer samples than the batch has."""
    images = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", images=images)
    contestants = []
    real = contestant.Contestant._prepared
    monkeypatch.setattr(contestant.Contestant, "_prepared", lambda self: (contestants.append(self), real(self))[1])
    report = bench([tiny_file], data=tmp_path / "data.npz", batch=3, **QUICK)
    np.testing.assert_array_equal(contestants[0].feeds["x"], images[[0, 1, 0]])
    assert report.environment.options["inputs"].endswith("data.npz")


def test_models_with_several_inputs_are_measured(tmp_path):
    """Each input is fed and its shape is stated, with the layers' times if asked for."""
    text = (
        '<ir_version: 8, opset_import: ["": 18]> two (float[N, 3, H, W] x, float[N, 3] z, int64[N] i) => '
        "(float[N, 3, H, W] y, int64[N] j) { s = Shape (z) a = Relu (x) y = Sigmoid (a) j = Neg (i) }"
    )
    path = tmp_path / "two.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    (model,) = bench([path], batch=2, input_shape={"x": (3, 4, 5)}, layers=True, **QUICK).to_json()["models"]
    assert model["shape"] == {"x": [2, 3, 4, 5], "z": [2, 3], "i": [2]}
    assert model["layers"]


def test_a_noisy_machine_is_remarked_on_once(tiny_file, monkeypatch):
    """One remark, whatever else was noisy too."""
    monkeypatch.setattr(benchmark, "remark_on_noise", lambda model, *_, **__: f"{model} is noisy")
    monkeypatch.setattr(benchmark, "remark_on_cores", lambda *_, **__: "too few cores")
    report = bench([tiny_file, tiny_file], batch=[1, 2], **QUICK)
    assert report.to_json()["remarks"] == ["too few cores", f"{tiny_file} is noisy"]


def test_cold_is_stated(tiny_file):
    """The report says how it was measured."""
    assert bench([tiny_file], cold=True, **QUICK).to_json()["environment"]["cold"] is True


def test_progress_goes_through_the_callback(tiny_file, capsys):
    """Nothing is printed; the callback hears of the whole, to its end."""
    heard: list[tuple[str, float]] = []
    bench([tiny_file], batch=[1, 2], progress=lambda what, share: heard.append((what, share)), **QUICK)
    assert heard[-1] == ("measuring batch 2", 1.0)
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert capsys.readouterr() == ("", "")


def test_a_refused_shape_is_an_input_error(tiny_file):
    """The option's shape is tried, and the model's refusal reported."""
    with pytest.raises(InputError, match=r"does not fit .*tiny\.onnx"):
        bench([tiny_file], input_shape=(5, 8, 8), **QUICK)


@pytest.mark.parametrize("batch", [0, [], [1, -1]])
def test_batches_are_positive(tiny_file, batch):
    """No batch, or one below 1, is a mistake of the user."""
    with pytest.raises(InputError, match="at least 1"):
        bench([tiny_file], batch=batch)


def test_no_model_is_a_mistake_of_the_user(tmp_path):
    """Nothing to measure, or nothing there."""
    with pytest.raises(InputError, match="at least one model"):
        bench([])
    with pytest.raises(ModelError, match="No such file"):
        bench([tmp_path / "nothing.onnx"])


@pytest.mark.skipif(read_driver() is not None, reason="this machine has an NVIDIA driver")
def test_cuda_is_never_replaced_by_the_cpu(tiny_file):
    """Without a driver, asking for CUDA fails."""
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        bench([tiny_file], device="cuda", **QUICK)
