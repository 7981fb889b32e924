"""Each layer's lowerings, measured alone: a first guess, since a layer's neighbours decide the rest."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.benchmark.measure import Schedule
from swp_export.graph.analysis.flops import infer_shapes
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.files.writing import serialized
from swp_export.graph.metadata import LAYER
from swp_export.graph.passes.order_channels import free_layers
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.plan import order_of
from swp_export.tuning.candidates import Candidate, Discarded
from swp_export.tuning.layer_case import LayerCase
from swp_export.tuning.search import FAILURES
from swp_export.tuning.single_layer import model_of_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.tuning.cache import LayerCache
    from swp_export.tuning.model_timer import ModelTimer

SCHEDULE = Schedule(min_runs=10, min_seconds=0.015, instances=3, window_seconds=0.003)
"""A first guess: who is far behind alone need not be tried in the whole model."""
HOPELESS = 3.0
"""Of a lowering that takes so many times the layer's fastest in a few runs, nothing more is measured."""


def layer_cases(compact: ir.Model, shape: Sequence[int]) -> list[LayerCase]:
    """Return the layers of `compact` in execution order, for an input `shape` `(N, C, H, W)`."""
    shapes = infer_shapes(ir.serde.serialize_model(compact), shape)
    free = free_layers(compact.graph)
    return [
        LayerCase(conv=conv, input_shape=shapes[node.inputs[0].name or ""], free=node.name in free)
        for node, conv in iterate_stripe_convs(compact.graph)
        if node.inputs[0] is not None and LAYER in node.metadata_props
    ]


def measure_layers(
    cases: Sequence[LayerCase],
    timer: ModelTimer,
    cache: LayerCache,
    *,
    deadline: float,
    progress: Callable[[str], None],
) -> tuple[list[Candidate], list[Discarded]]:
    """Measure the lowerings of each layer until `deadline` (of time.monotonic), those with the most work first."""
    candidates: list[Candidate] = []
    discarded: list[Discarded] = []
    for case in sorted((with_filled_input(case, timer.multiple) for case in cases), key=_work, reverse=True):
        name = case.conv.name
        reasons = {lowering.name: lowering.why_not(case.conv) for lowering in LOWERINGS.values()}
        discarded += [Discarded(layer=name, lowering=k, reason=v) for k, v in reasons.items() if v is not None]
        key = cache.key(case, timer)
        times = cache.get(key)
        if times is None:
            if time.monotonic() > deadline:
                continue
            progress(f"measuring layer {name}")
            times, failures = _measure(case, timer, [k for k, v in reasons.items() if v is None])
            discarded += failures
            if not failures:  # a failure is reported in every run, and may have been the machine's
                cache.put(key, times)
        candidates += [
            Candidate(layer=name, lowering=k, median_ms=v) for k, v in sorted(times.items(), key=lambda t: t[1])
        ]
    return candidates, discarded


def _work(case: LayerCase) -> float:
    return float(np.prod(case.input_shape[2:])) * case.conv.weight.size


def _measure(case: LayerCase, timer: ModelTimer, lowerings: Sequence[str]) -> tuple[dict[str, float], list[Discarded]]:
    """Return the median milliseconds by lowering, of a hopeless one that of a few runs, and what failed.

    Lowerings that write this layer alike are measured once.
    """
    models: dict[str, bytes] = {}
    times: dict[bytes, float] = {}
    discarded = []
    for name in lowerings:
        try:
            content = layer_model(case, name, timer.multiple)
            if content not in times:
                times[content] = 1e3 * timer.quick_seconds(content, case.input_shape)
            models[name] = content
        except FAILURES as error:
            discarded.append(Discarded(layer=case.conv.name, lowering=name, reason=str(error)))
    near = [content for content, ms in times.items() if ms <= HOPELESS * min(times.values())]
    if near:
        for content, instances in zip(near, timer.measure(near, case.input_shape, SCHEDULE), strict=True):
            times[content] = 1e3 * float(np.median(np.concatenate([t for rounds in instances for t in rounds])))
    return {name: times[content] for name, content in models.items()}, discarded


def layer_model(case: LayerCase, lowering: str, multiple: int) -> bytes:
    """Return a model of one layer between two others; where its filters may be ordered, they are, as in the network."""
    conv = case.conv
    if case.free:
        places = order_of([conv], {conv.name: lowering}, multiple)
        rows = np.maximum(places, 0)
        weight = np.where((places >= 0)[:, None, None, None], conv.weight[rows], 0).astype(np.float32)
        bias = np.where(places >= 0, conv.bias[rows], 0).astype(np.float32)
        conv = dataclasses.replace(conv, weight=weight, bias=bias)
    return serialized(model_of_layer(conv, LOWERINGS[lowering].emit, multiple=multiple, between=True), {})


def with_filled_input(case: LayerCase, multiple: int) -> LayerCase:
    """Return `case` with its input filled up to whole blocks, as the layers before it do; a narrower one stays."""
    missing = -case.conv.channels % multiple
    if case.conv.channels < multiple or not missing:
        return case
    batch, channels, *size = case.input_shape
    weight = np.pad(case.conv.weight, ((0, 0), (0, missing), (0, 0), (0, 0))).astype(np.float32)
    conv = dataclasses.replace(case.conv, weight=weight)
    return dataclasses.replace(case, conv=conv, input_shape=(batch, channels + missing, *size))
