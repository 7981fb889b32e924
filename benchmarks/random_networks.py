"""Print how `prune`'s default and `--lowering auto` do on random networks: `python benchmarks/random_networks.py [N]`.

Chains of 3 to 8 convolutions, half of them residual, of random widths, maps and shares of live stripes; some filters
are dead. Each is measured beside its dense network and compact dense, one thread, models in turns.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.benchmark.measure import Schedule
from swp_export.graph.analysis.counts import count
from swp_export.graph.builder import DEFAULT_MULTIPLE
from swp_export.graph.metadata import FILTERS, LAYER, encode_filters
from swp_export.graph.pipeline import compact
from swp_export.lowerings.automatic import AUTO, AUTO_MULTIPLE
from swp_export.lowerings.rewrite import planned_bytes
from swp_export.pruning.written_layers import chosen_lowerings
from swp_export.runtime.target import CPU
from swp_export.tuning.model_timer import ModelTimer

if TYPE_CHECKING:
    import numpy.typing as npt

    Weights = list[npt.NDArray[np.float32]]
    Forms = dict[str, bytes]

SCHEDULE = Schedule(min_seconds=0.15, instances=3, window_seconds=0.01)
TIMER = ModelTimer(target=CPU)
LOWEST = 10
"""Percentile of a model's times that is compared: what another program does to a run is no matter of the form."""


def main(networks: int) -> None:
    """Print a line for each network, and the worst and the median of all."""
    found: dict[str, list[float]] = {"default": [], "auto": []}
    for seed in range(networks):
        shape, forms, what = random_network(seed)
        times = dict(zip(forms, TIMER.measure(list(forms.values()), (1, *shape), SCHEDULE), strict=True))
        ms = {form: 1e3 * lowest(of_form) for form, of_form in times.items()}
        rival = min(ms["dense"], ms["compact dense"])
        for form, ratios in found.items():
            ratios.append(rival / ms[form])
        cells = ", ".join(f"{form} {of_form:.3f}" for form, of_form in ms.items())
        print(
            f"{seed:3} {what}: {cells} ms; default {found['default'][-1]:.2f}, auto {found['auto'][-1]:.2f}", flush=True
        )
    print(f"{networks} random networks, against the better of dense and compact dense:")
    for form, ratios in found.items():
        print(f"  {form}: never below {min(ratios):.2f} (reach: 0.97), median {np.median(ratios):.2f}")


def lowest(instances: list[list[npt.NDArray[np.float64]]]) -> float:
    """Return the seconds of a model's undisturbed runs."""
    return float(np.percentile(np.concatenate([rounds for of_instance in instances for rounds in of_instance]), LOWEST))


def random_network(seed: int) -> tuple[tuple[int, int, int], Forms, str]:
    """Return the shape of an image, the network in each form, and what it is in a few words."""
    rng = np.random.default_rng(seed)
    layers, size = int(rng.integers(3, 9)), int(rng.choice([8, 16, 32]))
    residual = bool(rng.integers(2))
    widths = [int(rng.choice([8, 16, 24, 32, 64, 96, 128]))] * (layers + 1)
    if not residual:
        widths = [3, *sorted(int(rng.choice([8, 16, 32, 48, 64, 128, 192, 256])) for _ in range(layers))]
    live, dead = rng.choice([0.05, 0.1, 0.2, 0.4, 0.7]), rng.choice([0.0, 0.1, 0.4])
    full, masked = [], []
    for channels, filters in itertools.pairwise(widths):
        weight = rng.standard_normal((filters, channels, 3, 3), dtype=np.float32) / np.float32(channels**0.5)
        mask = (rng.random((filters, 3, 3)) < live) & (rng.random((filters, 1, 1)) >= dead)
        mask[0, 1, 1] = True
        full.append(weight)
        masked.append(weight * mask[:, None])
    dense, sparse = (network(weights, residual=residual) for weights in (full, masked))
    what = f"{'residual, ' if residual else ''}{widths}, {size}x{size}, {live:.0%} live, {dead:.0%} of the filters dead"
    return (widths[0], size, size), forms(dense, sparse, (widths[0], size, size)), what


def forms(dense: ir.Model, sparse: ir.Model, shape: tuple[int, int, int]) -> Forms:
    """Return the network in each form."""
    pruned = compact(sparse)
    positions = count(pruned, shape, live_only=True).layer_positions
    written = {"dense": to_bytes(dense), "compact dense": planned_bytes(pruned, {}, DEFAULT_MULTIPLE)}
    for form, lowering, multiple in (("default", None, DEFAULT_MULTIPLE), ("auto", AUTO, AUTO_MULTIPLE)):
        chosen = chosen_lowerings(pruned, lowering, positions, 1)
        written[form] = planned_bytes(pruned, {layer.name: layer.lowering for layer in chosen}, multiple)
    return written


def network(weights: Weights, *, residual: bool) -> ir.Model:
    """Return Conv and Relu for each of `weights`, every third behind a pool or, if `residual`, every second added."""
    text, y = "", "x"
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for k, weight in enumerate(weights):
        tensors[f"w{k}"], tensors[f"b{k}"] = weight, np.full(len(weight), 0.01, np.float32)
        text += f"c{k} = Conv <pads = [1, 1, 1, 1]> ({y}, w{k}, b{k}) "
        if residual and k % 2:
            text += f"a{k} = Add (c{k}, r{k - 2 if k > 1 else 0}) r{k} = Relu (a{k}) "
        else:
            text += f"r{k} = Relu (c{k}) "
        y = f"r{k}"
        if not residual and k % 3 == 2:
            text += f"p{k} = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({y}) "
            y = f"p{k}"
    tensors["g"] = np.ones((len(weights[-1]), 10), np.float32)
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18]> g (float[N, {weights[0].shape[1]}, H, W] x) => (float[N, 10] y) {{'
        f"{text} p = GlobalAveragePool ({y}) f = Flatten (p) y = Gemm (f, g)}}"
    )
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in tensors.items())
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    for k, conv in enumerate(node for node in model.graph if node.op_type == "Conv"):
        conv.name = f"layer{k}"
        conv.metadata_props.update({LAYER: conv.name, FILTERS: encode_filters(np.ones(len(weights[k]), bool))})
    return model


def to_bytes(model: ir.Model) -> bytes:
    """Return the serialised `model`."""
    content: bytes = ir.serde.serialize_model(model).SerializeToString()
    return content


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
