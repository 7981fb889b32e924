"""How fast each lowering is on this machine: whole networks, and single layers with random skeletons.

python examples/lowerings_benchmark.py [FOLDER]

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

from swp_export.benchmark.measure import Schedule, measure
from swp_export.benchmark.statistics import latency, speedup
from swp_export.graph.convolutions import FILTERS, LAYER, encode_filters, iterate_stripe_convs
from swp_export.graph.pipeline import compact
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lower
from swp_export.lowerings.plan import apply_plan
from swp_export.lowerings.static_rule import choose
from swp_export.pruning.source import read_source
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]

MODELS = Path(__file__).resolve().parent.parent / "models"
NETWORKS = {
    "VGG16": (MODELS / "vgg16-fashion-mnist" / "pruned.pth.tar", None, (1, 8), "features.0"),
    "ResNet56": (MODELS / "resnet56-fashion-mnist" / "best.pth.tar", 0.01, (1,), "conv1"),
}
FORMS = ("shift-sum", "levels(10)", "levels(40)", "levels(160)", "levels(640)", "shift-chunks", "split(2, shift-sum)")
LAYERS = [(64, 56, 0.2), (128, 28, 0.2), (256, 14, 0.2), (512, 7, 0.2), (512, 4, 0.2), (64, 32, 0.31), (16, 32, 0.16)]
PARTLY_FULL = [(64, 56), (128, 28), (256, 14), (512, 7)]
SECONDS = 0.5


def main(folder: Path) -> None:
    """Print a table for each network, and a line for each layer."""
    for name, (checkpoint, threshold, batches, first) in NETWORKS.items():
        full, pruned = exported(folder, name, checkpoint, threshold)
        models = {
            "dense, stock width": full,
            "compact dense": pruned,
            "pad-slice-add, by the static rule": default(pruned),
        }
        models |= {form: planned(pruned, form, dense=(first,)) for form in FORMS}
        for batch in batches:
            print(f"{name}, batch {batch}")
            for form, (milliseconds, ratio) in timed(models, (batch, 3, 32, 32)).items():
                print(f"  {form:36} {milliseconds:9.3f} ms  {ratio:6.2f}")
    rng = np.random.default_rng(0)
    for channels, size, share in LAYERS:
        one_layer(rng.random((channels, 3, 3)) < share, size, "iid")
    for channels, size in PARTLY_FULL:
        mask = np.zeros((channels, 9), bool)
        mask[np.arange(channels), rng.integers(0, 9, channels)] = True
        mask[rng.permutation(channels)[: channels // 3]] = True
        one_layer(mask.reshape(channels, 3, 3), size, "a third full, the others one stripe")


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
        plan[conv.name] = next(choice for choice in choices if LOWERINGS[choice].refuse(conv) is None)
    apply_plan(model, plan)
    return to_bytes(model)


def default(compact_model: bytes) -> bytes:
    """Return the portable model."""
    model = from_bytes(compact_model)
    lower(model, choose)
    return to_bytes(model)


def one_layer(mask: np.ndarray, size: int, kind: str) -> None:
    """Print how much faster than dense each form of one layer is, between an input and a small classifier."""
    channels = mask.shape[0]
    weight = np.random.default_rng(1).normal(size=(channels, channels, 3, 3)).astype(np.float32) * 0.05
    sparse = layer_model(weight * mask[:, None])
    models = {"dense": layer_model(weight)}
    conv = next(conv for _, conv in iterate_stripe_convs(from_bytes(sparse).graph))
    admitted = [form for form in (*FORMS, "split(2, dense)", "cropped") if LOWERINGS[form].refuse(conv) is None]
    models |= {"pad-slice-add": default(sparse)} | {form: planned(sparse, form) for form in admitted}
    ratios = {form: ratio for form, (_, ratio) in timed(models, (1, channels, size, size)).items() if form != "dense"}
    print(f"{channels} channels, {size}x{size}, {kind}, {mask.mean():.2f} live, bound {1 / mask.mean():.1f}: ", end="")
    print(", ".join(f"{form} {ratio:.2f}" for form, ratio in sorted(ratios.items(), key=lambda item: -item[1])))


def layer_model(weight: np.ndarray) -> bytes:
    """Return Conv, Relu, global pool and a classifier: the layer's channels are its own."""
    filters, channels = weight.shape[:2]
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[N, {channels}, H, W] x) => (float[N, 10] y) {{'
        "h = Conv <pads = [1, 1, 1, 1]> (x, w, b) r = Relu (h) p = GlobalAveragePool (r) f = Flatten (p)"
        "y = Gemm (f, g)}"
    )
    tensors = {"w": weight, "b": np.zeros(filters, np.float32), "g": np.ones((filters, 10), np.float32)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in tensors.items())
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    model.graph[0].metadata_props.update({LAYER: "layer", FILTERS: encode_filters(np.ones(filters, bool))})
    model.graph[0].name = "layer"
    return to_bytes(model)


def timed(models: dict[str, bytes], shape: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of each model, and how many times faster than the first one it is."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def loader(content: bytes) -> Callable[[], Call]:
        def load() -> Call:
            session = open_session(content)
            return session.caller({session.inputs[0].name: x})

        return load

    measured = measure([loader(content) for content in models.values()], Schedule(min_seconds=SECONDS))
    return {
        name: (latency(times).median_ms, speedup(measured[0], times).speedup)
        for name, times in zip(models, measured, strict=True)
    }


def from_bytes(content: bytes) -> ir.Model:
    """Return the model in `content`."""
    return ir.from_proto(onnx.ModelProto.FromString(content))


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
