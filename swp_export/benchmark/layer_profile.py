"""Where a model's time goes: each layer's share of it, beside the layer's share of the FLOPs.

ONNX Runtime's profile gives a time for each kernel, but profiling slows a model down, small ones more than twice. So
these are shares, never latencies.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from swp_export.benchmark.kernel_layers import OTHER, layers_of_kernels, layers_of_nodes
from swp_export.errors import DeviceError
from swp_export.graph.analysis.flops import node_flops
from swp_export.runtime.onnxruntime_session import OnnxRuntimeSession
from swp_export.runtime.session import open_session
from swp_export.runtime.target import CPU, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swp_export.runtime.session import Array

_WARM_UP_RUNS = 3
_KERNEL = "_kernel_time"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTime:
    """One layer's part in a model.

    Attributes:
        layer: Its name in the checkpoint, or "(other)".
        time_share: Its share of the time of all kernels, 0 to 1.
        flops: What it executes, a multiply-add counted as 2.
        flops_share: Its share of all layers' FLOPs, 0 to 1.
        operators: The share of the layer's own time by kind of kernel, largest first: `ReorderInput`, `Pad` and
            `Slice` are data movement.

    """

    layer: str
    time_share: float
    flops: int
    flops_share: float
    operators: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernel:
    """The time, in microseconds, that a run spends in one node of the optimised graph: the median of all runs."""

    name: str
    operator: str
    microseconds: float


def layer_times(
    model: Path | str,
    feeds: Mapping[str, Array],
    *,
    target: Target = CPU,
    runs: int = 20,
) -> tuple[LayerTime, ...]:
    """Profile `runs` runs of `model` on `feeds`, all inputs by name, and return its layers in the order of the graph.

    Raises:
        ModelError: The file is no ONNX model, or a shape in it cannot be inferred.
        InputError: The model refuses the shape.
        DeviceError: The device is not available, or its kernels cannot be timed one by one.

    """
    require_profile(target)
    # Only kernels are profiled, so a captured graph, which is one launch, has nothing to show.
    target = dataclasses.replace(target, cuda_graph=False)
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        session = open_session(
            model,
            target,
            profile_prefix=Path(folder) / "profile",
            optimized_model=optimized,
        )
        assert isinstance(session, OnnxRuntimeSession)  # no other writes profiles
        for _ in range(_WARM_UP_RUNS + runs):
            session.run(feeds)
        events = json.loads(session.end_profiling().read_text(encoding="utf-8"))
        fused = ir.from_proto(onnx.load(optimized, load_external_data=False)).graph
    proto = onnx.load(model, load_external_data=False)
    original = ir.from_proto(proto).graph
    layers = layers_of_nodes(original)
    flops: Counter[str] = Counter(dict.fromkeys(layers.values(), 0))
    shapes = {name: value.shape for name, value in feeds.items()}
    for layer, count in zip(layers.values(), node_flops(proto, shapes), strict=True):
        flops[layer] += count
    of_kernels = layers_of_kernels(original, fused)
    return attribute(kernels_of_profile(events, skip_runs=_WARM_UP_RUNS), of_kernels, flops)


def require_profile(target: Target) -> None:
    """Check that kernels can be timed one by one on `target`.

    Raises:
        DeviceError: They cannot.

    """
    if target.kind == "openvino":
        raise DeviceError("time per layer comes from ONNX Runtime's profile; pass --device cpu, or leave out --layers")
    if target.kind == "cuda" and os.environ.get("CUDA_LAUNCH_BLOCKING") != "1":
        raise DeviceError(
            "time per layer on device cuda needs kernels that run one by one, otherwise their launch is what is timed; "
            "set CUDA_LAUNCH_BLOCKING=1 for this command, and take latencies from a run without it"
        )


def kernels_of_profile(events: Iterable[Mapping[str, Any]], *, skip_runs: int = 0) -> list[Kernel]:
    """Return the kernels of a profile of ONNX Runtime, without those of its first `skip_runs` runs."""
    events = list(events)
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    begin = starts[skip_runs] if skip_runs < len(starts) else 0
    # The median, because one run that was interrupted for milliseconds outweighs all others in a sum.
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL) and event["ts"] >= begin:
            times[event["name"].removesuffix(_KERNEL), event["args"]["op_name"]].append(event["dur"])
    return [
        Kernel(name=name, operator=operator, microseconds=statistics.median(of_one))
        for (name, operator), of_one in times.items()
    ]


def attribute(kernels: Iterable[Kernel], layers: Mapping[str, str], flops: Mapping[str, int]) -> tuple[LayerTime, ...]:
    """Sum `kernels` up by layer.

    Args:
        kernels: From a profile.
        layers: The layer of each kernel, by name; a kernel that is not in it goes to "(other)".
        flops: FLOPs of each layer, in the order in which layers are returned; "(other)" is last, and absent where it
            has neither time nor FLOPs.

    """
    times: dict[str, dict[str, float]] = {layer: {} for layer in (*flops, OTHER)}
    for kernel in kernels:
        operators = times.setdefault(layers.get(kernel.name, OTHER), {})
        operators[kernel.operator] = operators.get(kernel.operator, 0.0) + kernel.microseconds
    # Dictionaries keep the order of insertion.
    times[OTHER] = times.pop(OTHER)
    all_time = sum(sum(operators.values()) for operators in times.values())
    all_flops = sum(flops.values())
    return tuple(
        LayerTime(
            layer=layer,
            time_share=_share(sum(operators.values()), all_time),
            flops=flops.get(layer, 0),
            flops_share=_share(flops.get(layer, 0), all_flops),
            operators=_shares(operators),
        )
        for layer, operators in times.items()
        if layer != OTHER or operators or flops.get(OTHER)
    )


def _shares(operators: Mapping[str, float]) -> dict[str, float]:
    total = sum(operators.values())
    largest_first = sorted(operators.items(), key=lambda item: -item[1])
    return {operator: _share(time, total) for operator, time in largest_first}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
