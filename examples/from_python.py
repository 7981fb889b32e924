"""The whole job from Python: prune, verify, measure. Each report has a `to_json()`: what the command prints.

python examples/from_python.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import swp_export

CHECKPOINT = Path(__file__).resolve().parent.parent / "models" / "resnet56-fashion-mnist" / "best.pth.tar"


def main(folder: Path) -> None:
    """Prune a ResNet56, check it against its checkpoint, and compare its latency with the unpruned network."""
    pruned = swp_export.prune(
        CHECKPOINT,
        threshold=0.01,
        output=folder / "resnet56.onnx",
        dense_out=folder / "resnet56-dense.onnx",
        force=True,
    )
    totals = pruned.totals
    print(f"gone: {totals.params_removed_percent:.1f} % of parameters, {totals.flops_removed_percent:.1f} % of FLOPs")

    check = swp_export.verify(pruned.model, against=CHECKPOINT)
    print(check.summary())

    assert pruned.dense is not None
    (ratio,) = swp_export.bench([pruned.model], baseline=pruned.dense).ratios
    print(f"{ratio.speedup:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f}): {ratio.verdict}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
