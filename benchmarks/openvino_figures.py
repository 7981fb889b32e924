"""Print what `tune` gains in another runtime: `make bench`, or `python benchmarks/openvino_figures.py [SECONDS]`.

Tuned for the CPU, which `tune` measures with ONNX Runtime for SECONDS, then run by OpenVINO on one thread in float32.
Each line is one interleaved comparison at batch 1: ratios to the unpruned dense network, with 95 % intervals. Nothing
is timed that does not agree with ONNX Runtime. OpenVINO comes with the extra `test`.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

import swp_export
from swp_export.benchmark.measure import Schedule, measure
from swp_export.benchmark.statistics import latency, speedup
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Run = Callable[[], Array]

MODELS = Path(__file__).resolve().parent.parent / "models"
NETWORKS = {
    "VGG16": (MODELS / "vgg16-fashion-mnist" / "pruned.pth.tar", None),
    "ResNet56": (MODELS / "resnet56-fashion-mnist" / "best.pth.tar", 0.01),
}
SHAPE = (1, 3, 32, 32)
CONFIG = {
    "INFERENCE_NUM_THREADS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
}
TOLERANCE = 1e-4
"""Of the largest output: by how much float32 runs of one network may differ."""


def main(seconds: float) -> None:
    """Print a line for each network."""
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    for name, (checkpoint, threshold) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            models = written(Path(folder), checkpoint, threshold, seconds)
            check(models, x)
            measured = measure([partial(loaded, model, x) for model in models.values()], Schedule())
        full, *others = measured
        cells = []
        for form, times in zip(list(models)[1:], others, strict=True):
            ratio = speedup(full, times)
            cells.append(f"{form} {ratio.speedup:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
        print(f"{name}, OpenVINO, batch 1, full dense {latency(full).median_ms:.2f} ms: {', '.join(cells)}", flush=True)


def written(folder: Path, checkpoint: Path, threshold: float | None, seconds: float) -> dict[str, Path]:
    """Write the network unpruned, pruned to a compact dense one, and tuned."""
    full, dense, portable, tuned = (folder / f"{name}.onnx" for name in ("full", "dense", "portable", "tuned"))
    swp_export.prune(checkpoint, threshold=threshold, lowering="dense", output=dense, dense_out=full)
    swp_export.prune(checkpoint, threshold=threshold, output=portable)
    swp_export.tune(portable, output=tuned, seconds=seconds)
    return {"full dense": full, "compact dense": dense, "tuned": tuned}


def check(models: dict[str, Path], x: Array) -> None:
    """Assert that OpenVINO computes of each model what ONNX Runtime computes of the first."""
    session = open_session(next(iter(models.values())))
    (expected,) = session.run({session.inputs[0].name: x}).values()
    for form, model in models.items():
        error = np.abs(loaded(model, x)() - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE, f"{form}: OpenVINO is off by {error:.1e} of the largest output"


def loaded(model: Path, x: Array) -> Run:
    """Load `model` into OpenVINO for inputs of the shape of `x`, and return the call that runs it on `x`."""
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(list(x.shape))
    request = core.compile_model(network, "CPU", CONFIG).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

    def run() -> Array:
        request.infer(share_outputs=True)
        y: Array = request.get_output_tensor().data
        return y

    return run


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
