"""A quantised model is what it says, of that network, and loses no more than allowed; else it is said what is off."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from small_models import copied
from tunable_models import SHAPE, compact_network, portable

from swp_export.cli import cli
from swp_export.precision.images import Images
from swp_export.precision.mixed_plan import INT8, float_model, integer_layers, mixed_bytes
from swp_export.precision.qdq import values_to_calibrate
from swp_export.precision.ranges import calibrate
from swp_export.precision.scheme import Scheme
from swp_export.runtime.session import open_session
from swp_export.verification.evaluation_data import read_evaluation_data
from swp_export.verification.junit import junit_xml
from swp_export.verification.quantised import QuantisedReport, images_of, snr_db, verify_quantised

if TYPE_CHECKING:
    from pathlib import Path

X = np.random.default_rng(0).standard_normal((24, *SHAPE), np.float32)
PLAN = {"conv0": f"{INT8}shift-sum", "conv1": f"{INT8}shift-sum(2)", "conv2": f"{INT8}dense"}


def int8_of(compact: ir.Model, plan: dict[str, str] = PLAN) -> bytes:
    """Return the compact model in int8, calibrated on X."""
    model = float_model(compact, plan, 8)
    ranges = calibrate(model, X, *values_to_calibrate(model, integer_layers(plan)))
    return mixed_bytes(compact, plan, 8, Scheme(), ranges)


def predictions() -> np.ndarray:
    """Return what the float network predicts on X."""
    return np.asarray(open_session(ir.to_proto(compact_network())).run_on(X)["y"].argmax(axis=1))


def verified(content: bytes, labels: np.ndarray | None = None, bound: float | None = None) -> QuantisedReport:
    """Compare a model with the network."""
    return verify_quantised(
        content,
        name="model.onnx",
        reference=open_session(ir.to_proto(compact_network())).run_on,
        reference_name="the network",
        dense=compact_network(),
        images=Images(images=X, labels=labels, name="noise"),
        max_accuracy_drop=bound,
    )


def test_one_file_calibrates_and_measures(tmp_path: Path) -> None:
    """The images of --data are all measured on, with their labels, and the first calibrate; others do if given."""
    np.savez(tmp_path / "d.npz", images=X, labels=np.arange(len(X)) % 3)
    data = read_evaluation_data(data=tmp_path / "d.npz", input_shape=SHAPE)
    assert data is not None
    images = images_of(data)
    assert np.array_equal(images.images, X)
    assert np.array_equal(images.calibration, X)
    assert images.labels is not None
    assert images.labels.tolist() == [n % 3 for n in range(len(X))]
    np.savez(tmp_path / "t.npz", images=2 * X)
    training = read_evaluation_data(data=tmp_path / "t.npz", input_shape=SHAPE)
    assert np.array_equal(images_of(data, training).calibration, 2 * X)


def test_integers_are_checked_on_the_cpu(tmp_path: Path) -> None:
    """Another device is refused: the integer reference is of ONNX Runtime's kernels."""
    model, source = tmp_path / "m.onnx", tmp_path / "s.onnx"
    model.write_bytes(int8_of(compact_network()))
    source.write_bytes(portable())
    done = CliRunner().invoke(cli, ["verify", str(model), "--against", str(source), "--device", "openvino"])
    assert done.exit_code == 2
    assert "leave --device openvino out" in done.stderr


def test_a_right_model_is_exact() -> None:
    """Every integer follows the reference, every layer has its noise stated, and the noisiest is named."""
    report = verified(int8_of(compact_network()))
    assert report.equivalent
    assert report.strangers == ()
    assert [each.layer for each in report.noise] == ["conv0", "conv1", "conv2"]
    assert report.noisiest == min(report.noise, key=lambda each: each.snr_db)
    assert min(each.snr_db for each in report.noise) > 20
    assert "shifts exact" in report.summary()
    assert 'failures="0"' in junit_xml(report, started=datetime.now(UTC), seconds=1.0)


@pytest.mark.parametrize("fault", ["swapped", "moved", "scaled"])
def test_another_network_is_found(fault: str) -> None:
    """Two filters swapped, a stripe moved, a filter scaled before rounding: integers are right, the network is not."""
    wrong = copied(compact_network())
    value = wrong.graph.initializers["w1"]
    assert value.const_value is not None
    weight = np.array(value.const_value.numpy())
    if fault == "swapped":
        weight[[2, 3]] = weight[[3, 2]]
    elif fault == "moved":
        weight[2] = np.roll(weight[2], 1, axis=2)
    else:
        weight[2] *= 1.3
    value.const_value = ir.tensor(weight, name="w1")
    report = verified(int8_of(wrong))
    assert report.exact
    assert not report.equivalent
    assert report.strangers[0].layer == "conv1"
    assert 2 in report.strangers[0].filters
    assert "another network" in report.summary()
    assert 'failures="1"' in junit_xml(report, started=datetime.now(UTC), seconds=1.0)


def test_the_bound_counts_labels() -> None:
    """With labels accuracy is compared with the bound; it may also rise."""
    content = int8_of(compact_network())
    right = predictions()
    report = verified(content, right, bound=0.0)
    assert report.predictions.right_before == len(X)
    lost = len(X) - (report.predictions.right_after or 0)
    assert report.within_bound == (lost == 0)
    assert report.predictions.drop == pytest.approx(100 * lost / len(X))
    wrong = verified(content, (right + 1) % 10, bound=0.0)
    assert wrong.predictions.right_before == 0
    assert wrong.predictions.drop <= 0
    assert wrong.within_bound


def test_a_missed_bound_is_said() -> None:
    """A model beyond its bound is not equivalent, and says by how much."""
    report = verified(int8_of(compact_network()))
    lost = dataclasses.replace(report.predictions, right_before=20, right_after=15)
    beyond = dataclasses.replace(report, predictions=lost, max_accuracy_drop=1.0)
    assert not beyond.equivalent
    assert "may fall by 1 points, not by 20.83" in beyond.summary()
    assert beyond.to_json()["within_bound"] is False


def test_without_labels_changed_predictions_bound_the_loss() -> None:
    """No more accuracy can be lost than predictions change."""
    report = verified(int8_of(compact_network()), bound=0.0)
    assert report.predictions.right_before is None
    assert report.predictions.drop == 100 * report.predictions.changed / len(X)


def test_layers_in_float32_have_no_noise_of_their_own() -> None:
    """Of a mixed model the int8 layers are listed."""
    report = verified(int8_of(compact_network(), PLAN | {"conv1": "shift"}))
    assert [each.layer for each in report.noise] == ["conv0", "conv2"]
    assert report.equivalent


def test_integers_that_were_tampered_with_are_found() -> None:
    """One weight of a hundred changed after rounding is another network."""
    model = ir.from_proto(onnx.ModelProto.FromString(int8_of(compact_network())))
    value = model.graph.initializers["conv0/weight/quantized"]
    assert value.const_value is not None
    weight = np.array(value.const_value.numpy())
    row = int(np.abs(weight.astype(int)).sum(axis=(1, 2, 3)).argmax())
    weight[row] = -weight[row]
    value.const_value = ir.tensor(weight, name="conv0/weight/quantized")
    content: bytes = ir.to_proto(model).SerializeToString()
    report = verified(content)
    assert report.exact
    assert report.strangers[0].layer == "conv0"


def test_the_command_exits_with_1(tmp_path: Path) -> None:
    """`verify` of an int8 model of another network exits with 1 and names the layer; of this one with 0."""
    other = copied(compact_network())
    value = other.graph.initializers["w1"]
    assert value.const_value is not None
    value.const_value = ir.tensor(np.array(value.const_value.numpy())[::-1].copy(), name="w1")
    network, right, wrong = (tmp_path / name for name in ("network.onnx", "right.onnx", "wrong.onnx"))
    network.write_bytes(portable("dense"))
    right.write_bytes(int8_of(compact_network()))
    wrong.write_bytes(int8_of(other))
    shape = ["--input-shape", ",".join(map(str, SHAPE))]
    done = CliRunner().invoke(cli, ["verify", str(right), "--against", str(network), *shape])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(cli, ["verify", str(wrong), "--against", str(network), *shape])
    assert done.exit_code == 1
    assert "another network" in done.output
    assert "layer conv1" in done.output


def test_snr() -> None:
    """A tenth of the signal is 20 dB; nothing is 200."""
    truth = np.ones((2, 3))
    assert snr_db(truth, truth * 1.1) == pytest.approx(20)
    assert snr_db(truth, truth) == 200
