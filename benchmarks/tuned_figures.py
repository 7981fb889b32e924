"""Print what `tune` gains, network by network: `make bench`, or `python benchmarks/tuned_figures.py [NAME ...]`.

Each line is one interleaved comparison on one thread: ratios to the unpruned dense network, with 95 % intervals.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch

import swp_export
from swp_export.architectures import resolve_architecture
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import FILTERS, LAYER, encode_filters
from swp_export.lowerings.rewrite import compact_from_portable, planned_bytes
from swp_export.nn import FilterStripe
from swp_export.runtime.target import CPU
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.model_timer import ModelTimer
from swp_export.tuning.tuned_model import find_tuned_model

if TYPE_CHECKING:
    from collections.abc import Callable

    Skeleton = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]

MODELS = Path(__file__).resolve().parent.parent / "models"
RANDOM_LAYERS = 50


def trained_vgg16(folder: Path) -> None:
    """VGG16 as trained here, 3 % of the FLOPs live, at batch 1 and 8."""
    for batch in (1, 8):
        compare(folder, MODELS / "vgg16-fashion-mnist" / "pruned.pth.tar", None, batch)


def trained_resnet56(folder: Path) -> None:
    """ResNet56 as trained here, 5 % of the FLOPs live."""
    compare(folder, MODELS / "resnet56-fashion-mnist" / "best.pth.tar", 0.01, 1)


def iid_vgg16(folder: Path) -> None:
    """VGG16 with random skeletons, 26 % of the stripes live: what the paper reports."""
    compare(folder, random_checkpoint(folder, "VGG16", 10, lambda mask, rng: rng.random(mask) < 0.26), 0.5, 1)


def third_full_resnet18(folder: Path) -> None:
    """ResNet18 at 224x224; in each 3x3 layer a third of the filters full, the others with one random stripe."""

    def skeleton(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        filters, height, width = shape
        mask = np.zeros((filters, height * width), bool)
        mask[np.arange(filters), rng.integers(height * width, size=filters)] = True
        mask[rng.random(filters) < 1 / 3] = True
        return mask.reshape(shape)

    compare(folder, random_checkpoint(folder, "ResNet18", 1000, skeleton, only_3x3=True), 0.5, 1)


def zoo_vgg11(folder: Path) -> None:
    """VGG11x0.25 of the zoo, strong."""
    compare(folder, MODELS / "vgg11-fashion-mnist" / "strong.pth", None, 1)


def random_layers(folder: Path) -> None:
    """Fifty random single layers: the tuned form against the better of portable and compact dense."""
    rng, worst, gains = np.random.default_rng(0), np.inf, []
    for _ in range(RANDOM_LAYERS):
        channels, filters = (int(rng.choice([16, 32, 64, 128])) for _ in range(2))
        size = int(rng.choice([4, 8, 14, 28]))
        mask = rng.random((filters, 3, 3)) < rng.choice([0.05, 0.15, 0.3, 0.6])
        weight = rng.standard_normal((filters, channels, 3, 3), dtype=np.float32) * mask[:, None]
        timer = ModelTimer(target=CPU)
        cache = LayerCache(folder / "layers.json")
        found = find_tuned_model(layer_model(weight), timer, (channels, size, size), 3.0, cache, lambda _: None)
        gain = min(found.over_input.speedup, found.over_dense.speedup)
        gains.append(gain)
        worst = min(worst, gain)
    print(f"{RANDOM_LAYERS} random layers, tuned against the better of portable and compact dense:")
    print(f"  never below {worst:.2f} (reach: 0.97), median {np.median(gains):.2f}")


def compare(folder: Path, checkpoint: Path, threshold: float | None, batch: int) -> None:
    """Prune, tune and measure one network, and print its line."""
    files = ("full", "dense", "portable", "auto", "tuned")
    full, dense, portable, auto, tuned = (folder / f"{name}.onnx" for name in files)
    swp_export.prune(checkpoint, threshold=threshold, lowering="dense", output=dense, dense_out=full, force=True)
    swp_export.prune(checkpoint, threshold=threshold, output=portable, force=True)
    swp_export.prune(checkpoint, threshold=threshold, lowering="auto", batch=batch, output=auto, force=True)
    swp_export.tune(portable, batch=batch, output=tuned, seconds=90, force=True)
    report = swp_export.bench([dense, portable, auto, tuned], baseline=full, batch=batch)
    cells = [f"{ratio.speedup:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" for ratio in report.ratios]
    names = ("compact dense", "portable", "auto", "tuned")
    print(f"  batch {batch}: " + ", ".join(map(" ".join, zip(names, cells, strict=True))), flush=True)


def random_checkpoint(folder: Path, name: str, classes: int, skeleton: Skeleton, *, only_3x3: bool = False) -> Path:
    """Write an untrained network with skeletons of 0 and 1 that `skeleton(shape, rng)` draws."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    module = resolve_architecture(name).constructor(classes)
    for layer in module.modules():
        if isinstance(layer, FilterStripe) and layer.striped and (not only_3x3 or layer.kernel_size == (3, 3)):
            mask = skeleton(tuple(layer.FilterSkeleton.shape), rng)
            layer.FilterSkeleton.data = torch.from_numpy(mask).float()
    path = folder / f"{name}.pth"
    torch.save(module.state_dict(), path)
    return path


def layer_model(weight: np.ndarray) -> bytes:
    """Return the portable model of one 3x3 convolution with a Relu."""
    filters, channels = weight.shape[:2]
    x = ir.Value(name="input", shape=ir.Shape(["n", channels, "h", "w"]), type=ir.TensorType(ir.DataType.FLOAT))
    value = ir.Value(name="weight", const_value=ir.tensor(weight, name="weight"))
    conv = ir.node("Conv", [x, value], {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}, name="layer")
    conv.metadata_props.update({LAYER: "layer", FILTERS: encode_filters(np.ones(filters, bool))})
    relu = ir.node("Relu", conv.outputs, name="relu")
    conv.outputs[0].name, relu.outputs[0].name = "map", "output"
    relu.outputs[0].shape, relu.outputs[0].type = ir.Shape(["n", filters, "h", "w"]), x.type
    graph = ir.Graph([x], relu.outputs, nodes=[conv, relu], initializers=[value], opset_imports={"": 18}, name="layer")
    compact = compact_from_portable(serialized(ir.Model(graph, ir_version=10), {}))
    return planned_bytes(compact, {"layer": "pad-slice-add"}, DEFAULT_MULTIPLE)


FIGURES = {
    "vgg16": trained_vgg16,
    "resnet56": trained_resnet56,
    "iid": iid_vgg16,
    "resnet18": third_full_resnet18,
    "zoo": zoo_vgg11,
    "random": random_layers,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for figure in sys.argv[1:] or FIGURES:
            print(FIGURES[figure].__doc__, flush=True)
            FIGURES[figure](Path(temporary))
