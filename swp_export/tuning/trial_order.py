"""In which order forms are tried on a device, since time may be up before all of them were.

What stands here decides the order and nothing else: the device's own times decide between forms. On the CPU and in
OpenVINO the order is that of the table of lowerings. Of CUDA it is known from ONNX Runtime and cuDNN, and not measured
here, that each node is a launch of its own, that a captured graph launches them all at once, that a depthwise
convolution is bound by memory and serves no tensor core, and that TF32 makes all other convolutions cheaper.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import onnx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.runtime.target import Target

Name = TypeVar("Name")

LAUNCH = 1.0
CAPTURED_LAUNCH = 0.25
"""Of a node in a CUDA graph."""
DEPTHWISE = 4.0
DEPTHWISE_BESIDE_TF32 = 6.0
"""Of a depthwise convolution, in launches, beside others that are as they were, or faster."""


def trial_order(models: Mapping[Name, bytes], target: Target) -> Sequence[Name]:
    """Return the names of `models`, forms of one and the same, the most promising on `target` first."""
    if target.kind != "cuda":
        return list(models)
    return sorted(models, key=lambda name: _guessed_cost(models[name], target))


def trial_deadline(deadline: float, target: Target) -> float:
    """Return when no further trial of a comparison is begun.

    A trial takes seconds on CUDA, in which cuDNN looks for its algorithms; elsewhere what was begun is finished.
    """
    return deadline if target.kind == "cuda" else math.inf


def _guessed_cost(model: bytes, target: Target) -> float:
    launch = CAPTURED_LAUNCH if target.cuda_graph else LAUNCH
    depthwise = DEPTHWISE_BESIDE_TF32 if target.tf32 else DEPTHWISE
    nodes = onnx.ModelProto.FromString(model).graph.node
    return launch * len(nodes) + depthwise * sum(map(_is_depthwise, nodes))


def _is_depthwise(node: onnx.NodeProto) -> bool:
    # Grouped ones of ours have one channel to a group.
    return node.op_type == "Conv" and any(given.name == "group" and given.i > 1 for given in node.attribute)
