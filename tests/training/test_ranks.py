"""Two processes of torchrun train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import OPTIONS, tensors

from swp_export.training.train import train

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def two(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which two processes trained `plain` and `spread`."""
    output = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [*torchrun, str(SCRIPT), str(images), str(output)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return output


@pytest.mark.parametrize("name", ["plain", "spread"])
def test_all_processes_end_with_the_same_network(two: Path, name: str) -> None:
    """Weights, skeletons and statistics are equal bit for bit, and the file holds them."""
    first, second = (torch.load(two / f"{name}-{rank}.pth", weights_only=True) for rank in (0, 1))
    written = tensors(two / name / "network.pth")
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), key
        assert torch.equal(tensor, written[key]), key
    assert any((tensor == 0).any() for key, tensor in first.items() if key.endswith("FilterSkeleton"))


def test_one_process_writes(two: Path) -> None:
    """The second could not even have; and it reports no progress."""
    reports = [json.loads((two / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [report["told"] for report in reports] == [2 * 3 * 4, 0]
    assert sorted(path.name for path in (two / "spread").iterdir()) == ["checkpoint.pth", "log.jsonl", "network.pth"]


def test_the_trajectory_is_that_of_one_process(two: Path, images: Path, tmp_path: Path) -> None:
    """Without BatchNorm, and with images that flips do not change, only float32's rounding tells them apart.

    The sum of two gradients in place of their mean would: twice the rate, or the penalty, ends far from it.
    """
    report = train(save=tmp_path / "one", data_path=images, **OPTIONS | {"arch": "tiny_training:plain"})
    one, other = tensors(tmp_path / "one" / "network.pth"), tensors(two / "plain" / "network.pth")
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, rtol=1e-4, atol=1e-6, msg=key)
    records = [json.loads(line) for line in (two / "plain" / "log.jsonl").read_text().splitlines()]
    for record, expected in zip(records, report.log.epochs, strict=True):
        assert record["live_stripes"] == expected["live_stripes"]
        # 33 images are 17 and 16: each is tested exactly once.
        for key in ("loss", "accuracy", "test_loss", "test_accuracy"):
            assert record[key] == pytest.approx(expected[key], rel=1e-4), key
    for options in ({"lr": OPTIONS["lr"] * 2}, {"sr": OPTIONS["sr"] * 2}):
        assert furthest(train_plain(images, tmp_path / str(options), options), one) > 0.01


def train_plain(images: Path, folder: Path, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return what a training with other options ends with."""
    train(save=folder, data_path=images, **OPTIONS | {"arch": "tiny_training:plain"} | options)
    return tensors(folder / "network.pth")


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of two states."""
    return max(float((tensor - other[key]).abs().max()) for key, tensor in one.items())


def test_uneven_numbers_of_test_batches(two: Path) -> None:
    """With batches of 8 per process, the first tests three and the second two; the log counts 33 images."""
    last = json.loads((two / "spread" / "log.jsonl").read_text().splitlines()[-1])
    right = last["test_accuracy"] * 33 / 100
    assert right == pytest.approx(round(right))


def test_a_mistake_is_raised_in_every_process(two: Path) -> None:
    """No process waits for one that has given up."""
    first, second = (json.loads((two / f"{rank}.json").read_text())["errors"] for rank in (0, 1))
    assert first == second
    uneven, folder, download, absent = first
    assert uneven == "batches of 15 images cannot be shared by 2 processes evenly"
    assert "holds a run already" in folder
    assert "cannot be downloaded" in download
    assert absent.startswith("fashion-mnist is not in nowhere")
