"""A sweep from a file to a decision: its points are what `prune` writes, and the one that is taken is written."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from small_networks import residual

import swp_export.sweeping.latencies as latencies_module
from swp_export.benchmark.measure import Schedule
from swp_export.cli import cli
from swp_export.errors import InputError, OutputError, ThresholdError
from swp_export.graph.metadata import RECALIBRATED, THRESHOLD
from swp_export.pruning.prune import prune
from swp_export.sweeping.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

    from swp_export.sweeping.report import SweepReport

ARCH: dict[str, Any] = {"arch": "small_networks:residual", "input_shape": (3, 10, 10)}
TRIED = [0.05, 0.4, 0.8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an unbroken checkpoint whose skeletons run from 0 to 1, and a file that is labelled as it predicts."""
    folder = tmp_path_factory.mktemp("sweep")
    torch.manual_seed(0)
    network = residual(4).eval()
    state = network.state_dict()
    for key, tensor in state.items():
        if key.endswith("FilterSkeleton"):
            kept = torch.rand(tensor.shape) < 0.5
            state[key] = torch.where(kept, 0.1 + 0.9 * torch.rand(tensor.shape), 1e-6 * torch.rand(tensor.shape))
    torch.save(state, folder / "own.pth")
    network.load_state_dict(state)
    images = torch.randn(60, 3, 10, 10)
    with torch.no_grad():
        labels = network(images).argmax(1)
    np.savez(folder / "val.npz", images=images.numpy(), labels=labels.numpy())
    return folder


@pytest.fixture(scope="module")
def swept(folder: Path) -> SweepReport:
    """Sweep it, with the labelled file, and write what loses nothing."""
    return sweep(
        folder / "own.pth",
        thresholds=TRIED,
        data=folder / "val.npz",
        max_accuracy_drop=0,
        output=folder / "chosen.onnx",
        csv=folder / "table.csv",
        **ARCH,
    )


def test_the_points_are_what_prune_writes(folder: Path, swept: SweepReport, tmp_path: Path) -> None:
    """The one export gives, at any threshold, the very file that `prune` makes of the checkpoint, and its figures."""
    found = swept.points[1]
    report = prune(
        folder / "own.pth",
        threshold=found.threshold,
        output=tmp_path / "pruned.onnx",
        data=folder / "val.npz",
        verify=False,
        **ARCH,
    )
    assert (found.sha256, found.bytes) == (report.sha256, report.bytes)
    totals = report.totals
    assert (found.params, found.paper_params) == (totals.params_after, totals.paper_params_after)
    assert (found.flops, found.paper_flops) == (totals.flops_after, totals.paper_flops_after)
    assert found.live_stripes == sum(layer.live_stripes for layer in report.layers)
    assert found.accuracy == report.accuracy


def test_from_the_unpruned_network_down(swept: SweepReport) -> None:
    """Everything shrinks with the threshold, and the error is of the unpruned network's outputs."""
    every = [swept.unpruned, *swept.points]
    for name in ("live_stripes", "paper_params", "paper_flops"):
        sizes = [getattr(point, name) for point in every]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == len(sizes)
    assert [point.threshold for point in swept.points] == TRIED
    assert swept.unpruned.correct == 100
    assert swept.unpruned.error == 0
    assert swept.points[0].error is not None
    assert swept.points[0].error < 1e-4 < (swept.points[2].error or 0)
    assert swept.error_on == "samples of val.npz"
    assert swept.gap is not None
    assert swept.gap[0] < 1e-5
    assert swept.gap[1] > 0.09


def test_the_chosen_model_is_written(folder: Path, swept: SweepReport) -> None:
    """It is verified, states its threshold, and is the one of the table."""
    assert swept.chosen is not None
    assert swept.written is not None
    assert swept.written.verification is not None
    assert swept.written.verification.equivalent
    (point,) = [point for point in swept.points if point.threshold == swept.chosen.threshold]
    assert swept.written.sha256 == point.sha256
    recorded = {entry.key: entry.value for entry in onnx.load(folder / "chosen.onnx").metadata_props}
    assert float(recorded[THRESHOLD]) == point.threshold


def test_the_documents(folder: Path, swept: SweepReport) -> None:
    """JSON holds all that a page needs; CSV is the table, the unpruned network first."""
    document = json.loads(json.dumps(swept.to_json(), allow_nan=False))
    assert document["command"] == "sweep"
    assert [point["threshold"] for point in document["points"]] == TRIED
    assert document["points"][0]["accuracy"]["after_percent"] == 100
    assert set(document["fronts"]["flops"]) <= {None, *TRIED}
    assert document["fronts"]["latency"] == []
    assert document["chosen"]["threshold"] in TRIED
    rows = list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))
    assert [row["threshold"] for row in rows] == ["", *map(str, TRIED)]
    assert [int(row["flops"]) for row in rows] == [point.flops for point in (swept.unpruned, *swept.points)]


def test_latency_is_measured_in_turns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a device each form has a latency and a speedup over the unpruned network; the front has that axis too."""
    monkeypatch.setattr(latencies_module, "SCHEDULE", Schedule(instances=2, min_seconds=0.01))
    report = sweep(folder / "own.pth", thresholds=[0.05, 0.8], device="cpu", **ARCH)
    assert report.environment is not None
    assert all(point.latency.keys() == {"default", "auto"} for point in (report.unpruned, *report.points))
    assert report.unpruned.latency["default"].speedup.speedup == 1
    assert all(point.fastest_ms is not None and point.fastest_ms > 0 for point in report.points)
    assert report.front("latency")
    assert report.to_json()["points"][0]["latency"]["default"]["over_unpruned"]["verdict"]
    assert "default_median_ms" in report.to_csv()


def test_it_goes_on_where_it_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a record holds is not evaluated again."""
    import swp_export.sweeping.evaluate as module

    first = sweep(folder / "own.pth", thresholds=[0.05], resume=tmp_path / "record.jsonl", **ARCH)
    evaluated: list[float] = []
    real = module.Evaluator.evaluate
    monkeypatch.setattr(module.Evaluator, "evaluate", lambda *given: evaluated.append(given[1]) or real(*given))
    again = sweep(folder / "own.pth", thresholds=[0.05, 0.8], resume=tmp_path / "record.jsonl", **ARCH)
    assert evaluated == [0.8]
    assert again.points[0] == first.points[0]


def test_an_onnx_model(folder: Path) -> None:
    """Without Filter Skeletons thresholds are shares of the largest norm, chosen from those."""
    dense = folder / "dense.onnx"
    prune(folder / "own.pth", threshold=0.0, output=folder / "all.onnx", dense_out=dense, verify=False, **ARCH)
    report = sweep(dense, points=2)
    assert report.architecture is None
    assert 1 <= len(report.points) <= 2
    assert report.points[-1].live_stripes < report.unpruned.live_stripes


def test_new_statistics_of_batch_norm(folder: Path, tmp_path: Path) -> None:
    """The sweep and the model that it writes are of the network with new statistics, and say so."""
    report = sweep(
        folder / "own.pth",
        thresholds=[0.8],
        data=folder / "val.npz",
        recalibrate=60,
        output=tmp_path / "chosen.onnx",
        **ARCH,
    )
    assert report.written is not None
    assert report.written.sha256 == report.points[0].sha256
    assert report.written.verification is not None
    assert "BatchNorm estimated anew on 60 of 60 samples of val.npz" in report.written.verification.reference
    recorded = {entry.key: entry.value for entry in onnx.load(tmp_path / "chosen.onnx").metadata_props}
    assert recorded[RECALIBRATED] == "60 of 60 samples of val.npz"
    assert report.recalibrated == "60 images of val.npz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": [2.0]}, "below the largest value"),
        ({"thresholds": []}, "found none"),
        ({"thresholds": [0.1], "max_accuracy_drop": 1}, "--max-accuracy-drop needs --data"),
        ({"thresholds": [0.1], "target_latency": 1}, "--target-latency needs --device"),
        ({"thresholds": [0.1], "recalibrate": 5}, "--recalibrate needs images"),
    ],
)
def test_what_cannot_be_swept(options: dict[str, Any], message: str, folder: Path) -> None:
    """Thresholds that leave nothing, and targets of what is not measured, are refused."""
    with pytest.raises((ThresholdError, InputError), match=message):
        sweep(folder / "own.pth", **options, **ARCH)


def test_nothing_is_overwritten(folder: Path, swept: SweepReport) -> None:
    """An existing model or table is found before anything is evaluated."""
    for options in ({"output": folder / "chosen.onnx"}, {"csv": folder / "table.csv"}):
        with pytest.raises(OutputError, match="exists already"):
            sweep(folder / "own.pth", thresholds=[0.1], **options, **ARCH)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    """Processes of their own find the same; the table marks what is taken; a missed target exits with 1."""
    shape = ["--arch", ARCH["arch"], "--input-shape", "3,10,10"]
    command = ["sweep", str(folder / "own.pth"), "--thresholds", "0.05,0.8", *shape]
    done = CliRunner().invoke(cli, [*command, "--jobs", "1", "--target-flops", "1"])
    assert done.exit_code == 1
    assert "none of 2 thresholds from 0.05 to 0.8 meets at most 1 FLOPs" in done.stderr
    assert "unpruned" in done.stdout
    for wrong in (["--thresholds", "a"], ["--target-flops", "many"], ["--target-flops", "0"]):
        assert CliRunner().invoke(cli, [*command, *wrong]).exit_code == 2
