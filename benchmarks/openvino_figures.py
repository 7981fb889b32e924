"""Print what `tune` gains in another runtime: `make bench`, or `python benchmarks/openvino_figures.py [SECONDS]`.

Tuned with ONNX Runtime and in OpenVINO, SECONDS each. Each line is one interleaved comparison in OpenVINO at batch 1 on
one thread, in float32: ratios to the unpruned dense network, with 95 % intervals.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import swp_export

MODELS = Path(__file__).resolve().parent.parent / "models"
NETWORKS = {
    "VGG16": (MODELS / "vgg16-fashion-mnist" / "pruned.pth.tar", None),
    "ResNet56": (MODELS / "resnet56-fashion-mnist" / "best.pth.tar", 0.01),
}


def main(seconds: float) -> None:
    """Print a line for each network."""
    for name, (checkpoint, threshold) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            full, dense, portable, elsewhere, here = (Path(folder) / f"{number}.onnx" for number in range(5))
            swp_export.prune(checkpoint, threshold=threshold, lowering="dense", output=dense, dense_out=full)
            swp_export.prune(checkpoint, threshold=threshold, output=portable)
            swp_export.tune(portable, output=elsewhere, seconds=seconds)
            swp_export.tune(portable, output=here, device="openvino", seconds=seconds)
            report = swp_export.bench([dense, elsewhere, here], baseline=full, device="openvino")
        cells = [
            f"{form} {ratio.speedup:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
            for form, ratio in zip(
                ("compact dense", "tuned with ONNX Runtime", "tuned here"), report.ratios, strict=True
            )
        ]
        milliseconds = report.models[0].latency.median_ms
        print(f"{name}, OpenVINO, batch 1, full dense {milliseconds:.2f} ms: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
