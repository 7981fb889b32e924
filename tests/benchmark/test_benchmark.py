"""The benchmark as a whole."""

import hashlib
import json
import shutil

import pytest

from swp_export.benchmark import bench
from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.runtime.cuda import read_driver

QUICK = {"min_seconds": 0.0}


def test_the_json_document_has_the_keys_of_the_contract(tiny_file):
    """What CI relies on is there, for one model and one batch."""
    document = json.loads(json.dumps(bench([tiny_file], **QUICK).to_json()))
    assert {"device", "provider", "threads", "batch", "models", "ratios", "environment"} == set(document)
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
    with pytest.raises(InputError, match=r"tiny\.onnx refuses the input"):
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
