"""What `make check` holds the zoo to: models/gates.toml, from the figures in each entry's `expected.json`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = """# What the networks of this folder keep to, each as `prune` writes it: `make check` writes and judges them.
# The figures are those of their cards; a file may be 2 % larger, for names and versions differ.
# Written by benchmarks/zoo.py.

[defaults]
max_accuracy_drop = 0
"""
_MODEL = """
[models.{entry}-{strength}]
model = "../build/zoo/{entry}-{strength}.onnx"
against = "{entry}/{strength}.pth"
data = "{entry}/samples.npz"
max_bytes = {size:_}
max_params = {params_after:_}
max_flops = {flops_after:_}
min_accuracy = {accuracy:g}
"""
_LARGER = 1.02


def gates(models: Path) -> str:
    """Return the content of the file for all entries in the folder `models`."""
    parts = [_HEAD]
    for path in sorted(models.glob("*/expected.json")):
        expected: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for strength, figures in expected["strengths"].items():
            size = 1000 * math.ceil(_LARGER * figures["onnx_bytes"] / 1000)
            accuracy = 100 * figures["right_of_samples"] / expected["samples"]
            names = {"entry": path.parent.name, "strength": strength}
            parts.append(_MODEL.format(**(figures | names), size=size, accuracy=accuracy))
    return "".join(parts)
