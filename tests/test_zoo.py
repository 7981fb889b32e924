"""The zoo keeps its word: every entry computes what its card says, and stays small."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import swp_export
from swp_export.checkpoint import read_checkpoint
from swp_export.network.instantiate import instantiate

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
ENTRIES = sorted(path.parent.name for path in MODELS.glob("*/expected.json"))
NETWORKS = [(entry, strength) for entry in ENTRIES for strength in ("mild", "strong")]


def expected_of(entry: str) -> dict[str, Any]:
    """Return the figures of an entry."""
    document: dict[str, Any] = json.loads((MODELS / entry / "expected.json").read_text(encoding="utf-8"))
    return document


def test_there_are_a_resnet_and_a_vgg() -> None:
    """Both kinds of network are there, and the script that makes them knows exactly these."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    zoo = runpy.run_path(str(ROOT / "benchmarks" / "zoo.py"))
    assert sorted(zoo["ENTRIES"]) == ENTRIES
    assert {expected_of(entry)["arch"][:3] for entry in ENTRIES} == {"Res", "VGG"}


def test_it_is_small() -> None:
    """All networks that the project ships are below 8 MB together."""
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 8e6


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_card_says_what_was_measured(entry: str) -> None:
    """The card is the one that the figures make."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    card = runpy.run_path(str(ROOT / "benchmarks" / "zoo_card.py"))["card"]
    assert (MODELS / entry / "README.md").read_text(encoding="utf-8") == card(entry, expected_of(entry))


@pytest.mark.parametrize("entry", ENTRIES)
def test_training_was_worth_it(entry: str) -> None:
    """Thresholding changed no prediction, and the mild strength lost at most half a point."""
    expected = expected_of(entry)
    for figures in expected["strengths"].values():
        assert figures["changed_by_threshold"] == 0
        assert figures["sr"] > 0
    assert expected["strengths"]["mild"]["accuracy_after"] >= expected["unpruned"]["accuracy"] - 0.5


@pytest.mark.parametrize(("entry", "strength"), NETWORKS)
def test_logits(entry: str, strength: str) -> None:
    """A checkpoint computes the recorded logits, in float64 to the last digits that sums in another order leave."""
    samples = np.load(MODELS / entry / "samples.npz")
    network = instantiate(read_checkpoint(MODELS / entry / f"{strength}.pth")).module.double()
    with torch.no_grad():
        logits = network(torch.from_numpy(samples["images"]).double()).numpy()
    np.testing.assert_allclose(logits, samples[f"logits_{strength}"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("entry", "strength"), NETWORKS)
def test_pruned_model(entry: str, strength: str, tmp_path: Path) -> None:
    """What `prune` writes is equivalent, as small and as cheap as recorded, and as accurate on the shipped sample."""
    figures = expected_of(entry)["strengths"][strength]
    folder = MODELS / entry
    report = swp_export.prune(folder / f"{strength}.pth", output=tmp_path / "pruned.onnx", data=folder / "samples.npz")
    assert report.verification is not None
    assert report.verification.equivalent
    totals = report.totals.to_json()
    recorded = [name for name in figures if name.removeprefix("paper_").startswith(("params_", "flops_"))]
    assert len(recorded) == 8
    assert {name: totals[name] for name in recorded} == {name: figures[name] for name in recorded}
    assert report.bytes == pytest.approx(figures["onnx_bytes"], rel=0.02)  # names and versions differ
    assert report.warnings == ()
    assert sum(layer.live_stripes for layer in report.layers) == figures["live_stripes"]
    samples = np.load(folder / "samples.npz")
    session = onnxruntime.InferenceSession(report.model, providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"input": samples["images"]})
    assert int((logits.argmax(axis=1) == samples["labels"]).sum()) == figures["right_of_samples"]
