"""How fast each lowering is on this machine: whole networks, and rows of layers with random skeletons.

python benchmarks/lowerings_benchmark.py [FOLDER]

One thread; all forms of a network take turns in one process; ratios to the dense network of stock width. FOLDER keeps
the exported networks, so that a second run need not export them again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.benchmark.measure import Schedule
from swp_export.benchmark.statistics import latency, speedup
from swp_export.graph.analysis.counts import count
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, LAYER, encode_filters
from swp_export.graph.pipeline import compact
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.plan import apply_plan
from swp_export.lowerings.sliced_ellpack import NODE_PRICES
from swp_export.pruning.source import read_source
from swp_export.pruning.written_layers import chosen_lowerings
from swp_export.runtime.target import CPU
from swp_export.tuning.model_timer import ModelTimer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

MODELS = Path(__file__).resolve().parent.parent / "models"
NETWORKS = {
    "VGG16": (MODELS / "vgg16-fashion-mnist" / "pruned.pth.tar", None, (1, 8), "features.0"),
    "ResNet56": (MODELS / "resnet56-fashion-mnist" / "best.pth.tar", 0.01, (1,), "conv1"),
}
FORMS = ("shift-sum", *(f"sliced-ellpack({price})" for price in NODE_PRICES), "shift-chunks", "split(2, shift-sum)")
LAYER_FORMS = (*FORMS, "split(2, dense)", "cropped")
ROW = 8
LAYERS = [(64, 56, 0.2), (128, 28, 0.2), (256, 14, 0.2), (512, 7, 0.2), (512, 4, 0.2), (64, 32, 0.31), (16, 32, 0.16)]
PARTLY_FULL = [(64, 56), (128, 28), (256, 14), (512, 7)]
SECONDS = 0.25
INSTANCES = 3
TIMER = ModelTimer(target=CPU)


def main(folder: Path) -> None:
    """Print a table for each network, and a line for each row of layers."""
    for name, (checkpoint, threshold, batches, first) in NETWORKS.items():
        full, pruned = exported(folder, name, checkpoint, threshold)
        models = {
            "dense, stock width": full,
            "compact dense": pruned,
            "default, by the static rule": default(pruned, (3, 32, 32)),
        }
        models |= {form: planned(pruned, form, dense=(first,)) for form in FORMS}
        for batch in batches:
            print(f"{name}, batch {batch}")
            for form, (milliseconds, ratio) in timed(models, (batch, 3, 32, 32)).items():
                print(f"  {form:36} {milliseconds:9.3f} ms  {ratio:6.2f}")
    rng = np.random.default_rng(0)
    for channels, size, share in LAYERS:
        layers_in_a_row([iid(channels, share, rng) for _ in range(ROW)], size, "iid")
    for channels, size in PARTLY_FULL:
        layers_in_a_row([partly_full(channels, rng) for _ in range(ROW)], size, "a third full, the others one stripe")


def exported(folder: Path, name: str, checkpoint: Path, threshold: float | None) -> tuple[bytes, bytes]:
    """Return the dense network of stock width and the compact one."""
    full, pruned = folder / f"{name}-full.onnx", folder / f"{name}-compact.onnx"
    if not pruned.exists():
        source = read_source(checkpoint, threshold=threshold, arch=None, input_shape=None, progress=lambda _: None)
        full.write_bytes(to_bytes(source.unpruned()[0]))
        pruned.write_bytes(to_bytes(compact(source.dense)))
    return full.read_bytes(), pruned.read_bytes()


def planned(compact_model: bytes, form: str, dense: tuple[str, ...] = ()) -> bytes:
    """Return the model with every layer but those named `dense` in `form`, or in the next one that it admits."""
    model = from_bytes(compact_model)
    plan = {}
    for _, conv in iterate_stripe_convs(model.graph):
        choices = ("dense",) if conv.name in dense else (form, "shift", "shift-sum", "dense")
        plan[conv.name] = next(choice for choice in choices if LOWERINGS[choice].why_not(conv) is None)
    apply_plan(model, plan, multiple=TIMER.multiple)
    return to_bytes(model)


def default(compact_model: bytes, shape: tuple[int, int, int]) -> bytes:
    """Return the model as `prune` writes it."""
    model = from_bytes(compact_model)
    chosen = chosen_lowerings(model, None, count(model, shape, live_only=True).layer_positions, 1)
    apply_plan(model, {layer.name: layer.lowering for layer in chosen})
    return to_bytes(model)


def layers_in_a_row(masks: Sequence[Mask], size: int, kind: str) -> None:
    """Print how much faster than dense each form is, of layers with skeletons `masks` that follow one another."""
    channels, live = len(masks[0]), float(np.mean(masks))
    weights = [he_weight(mask, seed) for seed, mask in enumerate(masks)]
    sparse = row_model([weight * mask[:, None] for weight, mask in zip(weights, masks, strict=True)])
    convs = [conv for _, conv in iterate_stripe_convs(from_bytes(sparse).graph)]
    admitted = [form for form in LAYER_FORMS if any(LOWERINGS[form].why_not(conv) is None for conv in convs)]
    models = {"dense": row_model(weights), "default": default(sparse, (channels, size, size))}
    models |= {form: planned(sparse, form) for form in admitted}
    ratios = {form: ratio for form, (_, ratio) in timed(models, (1, channels, size, size)).items() if form != "dense"}
    what = f"{channels} channels, {size}x{size}, {len(masks)} in a row, {kind}, {live:.2f} live, bound {1 / live:.1f}: "
    by_ratio = sorted(ratios.items(), key=lambda item: -item[1])
    print(what + ", ".join(f"{form} {ratio:.2f}" for form, ratio in by_ratio), flush=True)


def iid(channels: int, share: float, rng: np.random.Generator) -> Mask:
    """Return a skeleton with exactly the `share` of its stripes live, at random."""
    mask = np.zeros(channels * 9, bool)
    mask[rng.permutation(mask.size)[: round(share * mask.size)]] = True
    return mask.reshape(channels, 3, 3)


def partly_full(channels: int, rng: np.random.Generator) -> Mask:
    """Return a skeleton with a third of its filters full, and one random stripe in each other."""
    mask = np.zeros((channels, 9), bool)
    mask[np.arange(channels), rng.integers(0, 9, channels)] = True
    mask[rng.permutation(channels)[: channels // 3]] = True
    return mask.reshape(channels, 3, 3)


def he_weight(mask: Mask, seed: int) -> npt.NDArray[np.float32]:
    """Return a weight without dead stripes that keeps the scale of the values once those of `mask` are dead."""
    channels = len(mask)
    weight = np.random.default_rng(seed).standard_normal((channels, channels, 3, 3), dtype=np.float32)
    return weight * np.float32(np.sqrt(2 / (channels * 9 * mask.mean())))


def row_model(weights: Sequence[npt.NDArray[np.float32]]) -> bytes:
    """Return Relu, a Conv and a Relu for each weight, global pool and a classifier, as layers stand in a network.

    A layer alone pays for the input's reordering, and ONNX Runtime does not see that two convolutions of an input of
    open size have outputs of one shape, so that it fuses no Add of them. Of a row only the first layer is measured so.
    """
    channels = len(weights[0])
    row = "".join(
        f"c{k} = Conv <pads = [1, 1, 1, 1]> (r{k}, w{k}, b) r{k + 1} = Relu (c{k})" for k in range(len(weights))
    )
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[N, {channels}, H, W] x) => (float[N, 10] y) {{'
        f"r0 = Relu (x) {row} p = GlobalAveragePool (r{len(weights)}) f = Flatten (p) y = Gemm (f, g)}}"
    )
    tensors = {f"w{k}": weight for k, weight in enumerate(weights)}
    tensors |= {"b": np.zeros(channels, np.float32), "g": np.ones((channels, 10), np.float32)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in tensors.items())
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    convs = [node for node in model.graph if node.op_type == "Conv"]
    for k, conv in enumerate(convs):
        conv.name = f"layer{k}"
        conv.metadata_props.update({LAYER: f"layer{k}", FILTERS: encode_filters(np.ones(channels, bool))})
    return to_bytes(model)


def timed(models: dict[str, bytes], shape: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of each model, and how many times faster than the first one it is."""
    measured = TIMER.measure(list(models.values()), shape, Schedule(min_seconds=SECONDS, instances=INSTANCES))
    return {
        name: (latency(times).median_ms, speedup(measured[0], times).speedup)
        for name, times in zip(models, measured, strict=True)
    }


def from_bytes(content: bytes) -> ir.Model:
    """Return the model in `content`."""
    return ir.serde.deserialize_model(onnx.ModelProto.FromString(content))


def to_bytes(model: ir.Model) -> bytes:
    """Return the serialised `model`."""
    content: bytes = ir.serde.serialize_model(model).SerializeToString()
    return content


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
