"""Train an entry of the zoo under models/, measure it on the full test set, and write its files and its card.

    python benchmarks/zoo.py resnet20-fashion-mnist --data-path data

trains the network without pruning and at both strengths, resumes where an earlier call was interrupted, and writes
models/<entry>/: a checkpoint per strength, broken into its live stripes, `samples.npz`, `expected.json` and the card.
`tests/test_zoo.py` checks all of them on every run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import torch
from zoo_card import card

import swp_export
from swp_export.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from swp_export.errors import SwpExportError
from swp_export.network.instantiate import instantiate
from swp_export.nn import FilterStripe
from swp_export.training.datasets import ImageData, load_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

MODELS = Path(__file__).resolve().parents[1] / "models"
SAMPLES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """How an entry is trained; `sr` by strength."""

    arch: str
    epochs: int
    sr: Mapping[str, float]
    threshold: float = 0.01
    dataset: str = "fashion-mnist"
    seed: int = 0


ENTRIES = {
    "resnet20-fashion-mnist": Entry(arch="ResNet20", epochs=4, sr={"mild": 5.2e-4, "strong": 6e-4}),
    "vgg11-fashion-mnist": Entry(arch="VGG11x0.25", epochs=8, sr={"mild": 2.65e-4, "strong": 3e-4}),
}


def make(name: str, data_path: Path, runs: Path) -> None:
    """Train what is not trained yet below `runs`, and write models/`name`."""
    entry, folder = ENTRIES[name], MODELS / name
    data = load_dataset(entry.dataset, data_path)
    folder.mkdir(exist_ok=True)
    images, labels = stacked(data.test)
    dense = train(entry, "unpruned", data_path, runs / name)
    expected: dict[str, Any] = {
        "samples": SAMPLES,
        "arch": entry.arch,
        "dataset": entry.dataset,
        "epochs": entry.epochs,
        "seed": entry.seed,
        "unpruned": {"accuracy": accuracy(logits_of(read_checkpoint(dense.network), images), labels)}
        | minutes_of(dense),
        "strengths": {},
    }
    sample: dict[str, np.ndarray[Any, Any]] = {"images": images[:SAMPLES], "labels": labels[:SAMPLES]}
    for strength, sr in entry.sr.items():
        report = train(entry, strength, data_path, runs / name)
        trained = read_checkpoint(report.network)
        write_broken(trained, data, folder / f"{strength}.pth")
        broken = read_checkpoint(folder / f"{strength}.pth")
        figures = measure(trained, broken, images, labels)
        expected["strengths"][strength] = {"sr": sr, "threshold": entry.threshold, **figures, **minutes_of(report)}
        reference = logits_of(broken, images[:SAMPLES], double=True)
        sample[f"logits_{strength}"] = reference
        expected["strengths"][strength]["right_of_samples"] = int((reference.argmax(axis=1) == labels[:SAMPLES]).sum())
    np.savez_compressed(folder / "samples.npz", allow_pickle=False, **sample)
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(name, expected), encoding="utf-8")
    print((folder / "README.md").read_text(encoding="utf-8"))


def train(entry: Entry, strength: str, data_path: Path, runs: Path) -> Any:
    """Train, or go on with, the network at `strength`; without penalty and threshold where that is `unpruned`."""
    pruning = (
        {"sr": entry.sr[strength], "threshold": entry.threshold} if strength in entry.sr else {"sr": 0, "threshold": 0}
    )
    return swp_export.train(
        arch=entry.arch,
        dataset=entry.dataset,
        data_path=data_path,
        save=runs / strength,
        epochs=entry.epochs,
        seed=entry.seed,
        resume=True,
        progress=lambda text: print(f"{strength}: {text}", end="\r", file=sys.stderr),
        **pruning,
    )


def write_broken(trained: Checkpoint, data: ImageData, path: Path) -> None:
    """Write the live stripes of `trained` alone."""
    module = instantiate(trained).module
    for layer in module.modules():
        if isinstance(layer, FilterStripe) and layer.striped:
            layer.break_(0)
    write_checkpoint(
        path,
        module.state_dict(),
        architecture=trained.architecture,
        threshold=trained.threshold,
        input_shape=trained.input_shape,
        normalisation=data.normalisation,
        class_names=data.classes,
        force=True,
    )


def measure(trained: Checkpoint, broken: Checkpoint, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return what pruning took and what it changed, on all `images` `[N, C, H, W]`."""
    before = logits_of(trained, images, thresholded=False)
    after = logits_of(trained, images)
    with tempfile.TemporaryDirectory() as folder:
        report = swp_export.prune(broken.path, output=Path(folder) / "pruned.onnx")
        exported = run_onnx(report.model, images)
    totals = report.totals
    return {
        "accuracy_before": accuracy(before, labels),
        "accuracy_after": accuracy(exported, labels),
        "changed_by_threshold": int((before.argmax(axis=1) != after.argmax(axis=1)).sum()),
        "changed_by_export": int((before.argmax(axis=1) != exported.argmax(axis=1)).sum()),
        "live_stripes": sum(layer.live_stripes for layer in report.layers),
        "stripes": sum(layer.stripes for layer in report.layers),
        **{
            f"{whose}{what}_{when}": getattr(totals, f"{whose}{what}_{when}")
            for whose in ("", "paper_")
            for what in ("params", "flops")
            for when in ("before", "after")
        },
        "onnx_bytes": report.bytes,
    }


def stacked(images: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return all images `[N, C, H, W]` and labels `[N]` of a data set."""
    pairs = [images[n] for n in range(len(images))]
    return torch.stack([image for image, _ in pairs]).numpy(), np.array([label for _, label in pairs])


@torch.no_grad()
def logits_of(
    checkpoint: Checkpoint, images: np.ndarray, *, thresholded: bool = True, double: bool = False
) -> np.ndarray:
    """Return the logits `[N, classes]` of the network, at its recorded threshold or with every stripe it holds."""
    network = instantiate(checkpoint, threshold=None if thresholded else 0).module
    network = network.double() if double else network
    batches = torch.from_numpy(images).to(torch.float64 if double else torch.float32)
    return torch.cat([network(batch) for batch in torch.split(batches, 100)]).numpy()


def run_onnx(model: str, images: np.ndarray) -> np.ndarray:
    """Return the logits `[N, classes]` of an ONNX model."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: batch})[0] for batch in np.split(images, len(images) // 100)])


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the percentage of the `labels` that the logits are largest at."""
    return float(100 * (logits.argmax(axis=1) == labels).mean())


def minutes_of(report: Any) -> dict[str, float]:
    """Return how long a training took."""
    return {"minutes": sum(record["seconds"] for record in report.log.epochs) / 60}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("entry", choices=ENTRIES)
    parser.add_argument("--data-path", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the trainings")
    given = parser.parse_args()
    try:
        make(given.entry, given.data_path, given.runs)
    except SwpExportError as error:
        sys.exit(f"zoo.py: error: {error}")
