"""`prune`, `verify` and `tune` say what their models get right, and hand on what a picture needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from small_networks import residual, write_checkpoint
from tiny_training import write_images

import swp_export.tuning.tuned_model as tuned_model_module
from swp_export.benchmark.benchmark import bench
from swp_export.benchmark.measure import Schedule
from swp_export.checkpoint import write_checkpoint as write_self_describing
from swp_export.cli import cli
from swp_export.command_line.bench_table import bench_tables
from swp_export.graph.metadata import CLASS_NAMES, INPUT_LAYOUT, NORMALISATION
from swp_export.inspection.inspect import inspect
from swp_export.pruning.prune import prune
from swp_export.tuning.tune import tune
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport

ARCH, SHAPE = "small_networks:residual", (3, 32, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small unbroken checkpoint that records no preprocessing, a labelled file and a data set."""
    folder = tmp_path_factory.mktemp("accuracy")
    write_checkpoint(folder / "plain.pth", num_classes=10, seed=1)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "val.npz", images=rng.normal(size=(40, *SHAPE)).astype(np.float32), labels=rng.integers(10, size=40)
    )
    write_images(folder, test=20)
    return folder


@pytest.fixture(scope="module")
def pruned(folder: Path) -> PruneReport:
    """Prune it at a threshold that changes predictions, on the data set."""
    return prune(
        folder / "plain.pth",
        threshold=0.05,
        output=folder / "plain.onnx",
        arch=ARCH,
        input_shape=SHAPE,
        dataset="fashion-mnist",
        data_path=folder,
    )


def right(folder: Path, state: dict[str, torch.Tensor]) -> np.ndarray:
    """Return the predictions of the network with `state` on val.npz."""
    network = residual(10).eval()
    network.load_state_dict(state)
    with torch.no_grad():
        return network(torch.from_numpy(np.load(folder / "val.npz")["images"])).argmax(1).numpy()


def test_prune_compares_with_the_network_as_trained(folder: Path, tmp_path: Path) -> None:
    """Before is the network with all its stripes, after is the model; both are counted on the whole file."""
    report = prune(
        folder / "plain.pth",
        threshold=0.05,
        output=tmp_path / "out.onnx",
        arch=ARCH,
        input_shape=SHAPE,
        data=folder / "val.npz",
        verify=False,
    )
    state = torch.load(folder / "plain.pth", weights_only=True)
    trained = right(folder, state)
    for key, value in state.items():
        if key.endswith("FilterSkeleton"):
            value[value.abs() <= 0.05] = 0
    left, labels = right(folder, state), np.load(folder / "val.npz")["labels"]
    found = report.accuracy
    assert found is not None
    assert (found.right_before, found.right_after) == ((trained == labels).sum(), (left == labels).sum())
    assert found.changed == (trained != left).sum()
    assert report.to_json()["accuracy"]["samples"] == 40


def test_a_data_set_says_what_the_checkpoint_does_not(folder: Path, pruned: PruneReport) -> None:
    """Its normalisation and classes are recorded; `inspect` shows them."""
    assert pruned.accuracy is not None
    assert pruned.accuracy.data == "20 test images of fashion-mnist"
    assert pruned.verification is not None
    assert any(case.case == "test images of fashion-mnist" for case in pruned.verification.cases)
    shown = inspect(pruned.model).metadata
    assert shown[NORMALISATION] == {"mean": (0.286,) * 3, "std": (0.353,) * 3}
    assert len(shown[CLASS_NAMES]) == 10
    assert shown[INPUT_LAYOUT] == "NCHW"


def test_the_checkpoint_goes_first(folder: Path, tmp_path: Path) -> None:
    """What a self-describing checkpoint records travels into the model; what contradicts the network is told."""
    state = torch.load(folder / "plain.pth", weights_only=True)
    recorded = {"mean": [0.5] * 3, "std": [0.25] * 3}
    path = tmp_path / "own.pth"
    write_self_describing(path, state, input_shape=SHAPE, normalisation=recorded, class_names=["cat", "dog"])
    options = {"threshold": 0.05, "arch": ARCH, "dataset": "fashion-mnist", "data_path": folder, "verify": False}
    report = prune(path, output=tmp_path / "own.onnx", **options)
    metadata = {entry.key: entry.value for entry in onnx.load(report.model).metadata_props}
    assert json.loads(metadata[NORMALISATION]) == recorded
    (warning,) = [warning for warning in report.warnings if "class_names" in warning]
    assert "['cat', 'dog'], expected 10 names" in warning


def test_verify_reports_both(folder: Path, pruned: PruneReport) -> None:
    """The reference is before, the model after; the terminal and the JSON say the same."""
    report = verify(pruned.model, against=folder / "plain.pth", arch=ARCH, dataset="fashion-mnist", data_path=folder)
    assert report.accuracy is not None
    assert (report.accuracy.changed, report.accuracy.samples) == (0, 20)
    assert report.to_json()["accuracy"]["changed"] == 0


def test_tune_reports_both(folder: Path, pruned: PruneReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The input model is before, the tuned one after; the last line of the table says so."""
    monkeypatch.setattr(tuned_model_module, "FINAL", Schedule(instances=2, min_seconds=0.01))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    report = tune(pruned.model, output=tmp_path / "tuned.onnx", data=folder / "val.npz", seconds=0)
    assert report.accuracy is not None
    assert (report.accuracy.changed, report.accuracy.samples) == (0, 40)
    assert report.to_json()["accuracy"]["right_before"] == report.accuracy.right_before


def test_the_terminal_says_it(folder: Path, pruned: PruneReport) -> None:
    """`verify --dataset` prints one line with both accuracies and the changed predictions."""
    data = ["--dataset", "fashion-mnist", "--data-path", str(folder)]
    result = CliRunner().invoke(cli, ["verify", pruned.model, "--against", pruned.model, *data])
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert said.count(", 0 of 20 predictions changed on 20 test images of fashion-mnist") == 1


def test_bench_reports_each(folder: Path, pruned: PruneReport, tmp_path: Path) -> None:
    """Each model's accuracy stands beside its speed, and the predictions that differ from the baseline's."""
    other = tmp_path / "copy.onnx"
    other.write_bytes(Path(pruned.model).read_bytes())
    report = bench([pruned.model, other], data=folder / "val.npz", seconds=0.01, runs=1)
    assert [each.model for each in report.accuracies] == [pruned.model, str(other)]
    assert [each.accuracy.changed for each in report.accuracies] == [0, 0]
    assert report.to_json()["accuracies"][1]["samples"] == 40
    assert any("Accuracy" in str(table.title) for table in bench_tables(report))
    assert bench([pruned.model], seconds=0.01, runs=1).accuracies == ()
