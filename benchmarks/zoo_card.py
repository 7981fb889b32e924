"""The model card of a zoo entry, from the figures in its `expected.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Figures = dict[str, Any]

_TEXT = """# {arch}, Fashion-MNIST, pruned at two strengths

Trained by this project on one CPU core; trained again and written again by

    python benchmarks/zoo.py {name} --data-path data

| | |
| --- | --- |
| data | Fashion-MNIST: one channel, 28x28 padded to 32x32 with zeros, then (v - 0.2860)/0.3530 for v in 0 to 1 |
| training | `swp-export train --arch {arch} --dataset {dataset} --epochs {epochs} --seed {seed} --sr SR` |
| without pruning | the same with `--sr 0 --threshold 0`: {unpruned:.2f} % of the test set right |

{table}

Accuracies are those of the last epoch, on all 10,000 test images. `samples.npz` holds the first {samples} of them:
`images` [{samples}, 1, 32, 32], normalised, `labels`, and each file's logits in float64. `expected.json` has the
figures of this page; `tests/test_zoo.py` checks them, and that what `prune` writes of each file computes the same.
"""


def card(name: str, expected: Mapping[str, Any]) -> str:
    """Return the card of models/`name`."""
    unpruned: float = expected["unpruned"]["accuracy"]
    rows: dict[str, Callable[[Figures], str]] = {
        "SR": lambda f: f"{f['sr']:g}",
        "live stripes": lambda f: _share(f["live_stripes"], f["stripes"]),
        "parameters in the file": lambda f: _share(f["params_after"], f["params_before"]),
        "parameters, the paper's count": lambda f: _share(f["paper_params_after"], f["paper_params_before"]),
        "FLOPs executed": lambda f: _share(f["flops_after"], f["flops_before"]),
        "FLOPs, the paper's count": lambda f: _share(f["paper_flops_after"], f["paper_flops_before"]),
        "accuracy, trained": lambda f: f"{f['accuracy_before']:.2f} %",
        "accuracy, pruned, as ONNX": lambda f: f"{f['accuracy_after']:.2f} %",
        "against training without pruning": lambda f: f"{f['accuracy_after'] - unpruned:+.2f} points",
        "predictions that thresholding changes": lambda f: str(f["changed_by_threshold"]),
        "predictions that the export changes": lambda f: str(f["changed_by_export"]),
        "ONNX file": lambda f: f"{f['onnx_bytes'] / 1e6:.2f} MB",
        "training took": lambda f: f"{f['minutes']:.0f} minutes",
    }
    strengths: dict[str, Figures] = expected["strengths"]
    lines = ["", *(f"`{strength}.pth`" for strength in strengths)], ["---"] * (1 + len(strengths))
    cells = [*lines, *([name, *map(show, strengths.values())] for name, show in rows.items())]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    facts = {key: expected[key] for key in ("arch", "dataset", "epochs", "seed", "samples")}
    return _TEXT.format(name=name, unpruned=unpruned, table=table, **facts)


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})"
