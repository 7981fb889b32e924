"""What is in an ONNX model, without torch."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import ModelError, SwpExportError
from swp_export.graph.analysis.kept_channels import kept_channels, would_be_kept
from swp_export.graph.convolutions import iterate_convolutions, iterate_stripe_convs, kind_of
from swp_export.graph.files.reading import read_model
from swp_export.graph.metadata import (
    ARCHITECTURE,
    CLASS_NAMES,
    FILTERS,
    INPUT_SHAPE,
    LAYER,
    LOWERING,
    NORMALISATION,
    RELATIVE_THRESHOLD,
    THRESHOLD,
    decode_filters,
    input_shape_of,
    threshold_of,
)
from swp_export.graph.normalise import normalised
from swp_export.graph.operators.table import weighted
from swp_export.graph.preprocessing import class_names_of, normalisation_of
from swp_export.graph.simplify import CANONICAL_FORM, simplify
from swp_export.inspection.layers import Convolution, dead_layer_warnings, inspected, skeleton_above, totals_of
from swp_export.inspection.report import GraphFacts, InspectReport, TensorSpec
from swp_export.inspection.values import skeleton_values
from swp_export.lowerings.lower import lift
from swp_export.network.relative_norms import beyond_gap, relative_norms, require_share, widest_gap_of
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    import onnx_ir as ir

    from swp_export.graph.analysis.kept_channels import Kept

_SHOWN = {ARCHITECTURE, THRESHOLD, RELATIVE_THRESHOLD, INPUT_SHAPE}


def inspect_onnx(path: Path, threshold: float | None) -> InspectReport:
    """Return what is in the ONNX model `path`; arguments and errors are those of `inspect`."""
    file = read_model(path)
    model, label = file.model, str(path)
    # Of the file as it is: lifting replaces nodes and weights.
    parameters, graph, lowerings = _parameters(model.graph), _graph_facts(model), _lowerings(model.graph)
    if threshold is not None:
        require_share(threshold)
    trouble = None
    try:
        model = model if lowerings else normalised(model, label)
    except SwpExportError as error:
        if threshold is not None:
            raise
        trouble = str(error)
    convolutions = _convolutions(lift(model).graph, lowerings, threshold)
    norms = [conv.magnitudes for conv in convolutions if conv.magnitudes is not None]
    layers = tuple(inspected(conv) for conv in convolutions)
    return InspectReport(
        file=str(path),
        kind="onnx",
        bytes=path.stat().st_size,
        sha256=file.sha256,
        architecture=file.model.metadata_props.get(ARCHITECTURE),
        num_classes=_num_classes(graph),
        input_shape=input_shape_of(file.model, label),
        recorded_threshold=_recorded(file.model, label),
        threshold=threshold,
        fitting_thresholds=None,
        parameters=parameters,
        metadata=_recorded_facts(file.model.metadata_props),
        layers=layers,
        totals=totals_of(layers),
        kept=None if trouble else _kept(model, label, threshold),
        values=skeleton_values(convolutions),
        graph=graph,
        warnings=(
            *dead_layer_warnings(layers),
            *([] if threshold is None else beyond_gap(norms, threshold, path)),
            *([] if trouble is None else [f"which dead filters would stay if it was pruned cannot be told: {trouble}"]),
        ),
    )


def _recorded_facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what has no place of its own in the report, taken apart where it is known how; damaged texts stay."""
    facts: dict[str, Any] = {key: text for key, text in metadata.items() if key not in _SHOWN}
    with contextlib.suppress(ModelError):
        if (normalisation := normalisation_of(metadata)) is not None:
            facts[NORMALISATION] = dataclasses.asdict(normalisation)
    with contextlib.suppress(ModelError):
        if (names := class_names_of(metadata)) is not None:
            facts[CLASS_NAMES] = names
    return facts


def _recorded(model: ir.Model, label: str) -> float | None:
    recorded = threshold_of(model, label)
    return threshold_of(model, label, RELATIVE_THRESHOLD) if recorded is None else recorded


def _convolutions(graph: ir.Graph, lowerings: dict[str, str], threshold: float | None) -> list[Convolution]:
    """Return every convolution of `graph` with a constant weight, of any kind and rank.

    Those that a threshold applies to have their stripes' relative norms where one is given, or where a wide gap between
    norms that are not zero suggests one.
    """
    found = []
    for node, weights in iterate_convolutions(graph):
        name = node.metadata_props.get(LAYER) or node.name or node.outputs[0].name or ""
        filters = node.metadata_props.get(FILTERS)
        norms = None if kind_of(node, weights) else relative_norms(weights.weight)
        filters_live, *kernel = (live := weights.live_stripes()).shape
        skeleton = Skeleton(live.reshape(filters_live, -1, kernel[-1]))
        if threshold is not None and norms is not None:
            skeleton = skeleton_above(norms, threshold)
        found.append(
            Convolution(
                name=name,
                channels=weights.weight.shape[1],
                kernel=tuple(kernel),
                skeleton=skeleton,
                magnitudes=norms,
                filters_before=None if filters is None else decode_filters(filters).size,
                lowering=lowerings.get(name),
            )
        )
    gap = widest_gap_of([conv.magnitudes for conv in found if conv.magnitudes is not None])
    suggests = gap is not None and gap[0] > 0
    return found if threshold is not None or suggests else [dataclasses.replace(c, magnitudes=None) for c in found]


def _kept(model: ir.Model, label: str, threshold: float | None) -> tuple[Kept, ...]:
    """Return which dead filters of `model`, which is used up, would stay; dead are those that are at `threshold`."""
    for node, conv in [] if threshold is None else list(iterate_stripe_convs(model.graph)):
        rule, live = weighted(node), relative_norms(conv.weight) > np.float32(threshold)
        assert rule is not None
        rule.replace(node, conv.weight * live[:, None], None)
    if not any(LAYER in node.metadata_props for node in model.graph):
        return _would_be_kept(model)
    return tuple(kept_channels(normalised(model, label).graph))  # which infers the shapes that the file leaves out


def _would_be_kept(model: ir.Model) -> tuple[Kept, ...]:
    """Return what would stay of a normalised `model` that was not pruned yet; onnx-simplifier helps if that matters."""
    kept = would_be_kept(CANONICAL_FORM(model).model.graph)
    if any(not each.nodes for each in kept):  # a node keeps its channels: perhaps since what it reads is not folded yet
        with contextlib.suppress(ModelError):  # it is not installed where models only run
            kept = would_be_kept(simplify(model).graph)
    return tuple(kept)


def _lowerings(graph: ir.Graph) -> dict[str, str]:
    return {
        node.metadata_props[LAYER]: node.metadata_props[LOWERING]
        for node in graph
        if LAYER in node.metadata_props and LOWERING in node.metadata_props
    }


def _parameters(graph: ir.Graph) -> int:
    tensors = [value.const_value for value in graph.initializers.values()]
    return sum(tensor.size for tensor in tensors if tensor is not None and tensor.dtype.is_floating_point())


def _graph_facts(model: ir.Model) -> GraphFacts:
    producer = " ".join(part for part in (model.producer_name, model.producer_version) if part)
    return GraphFacts(
        opsets=dict(model.opset_imports),
        ir_version=model.ir_version,
        producer=producer or None,
        nodes=len(model.graph),
        inputs=tuple(_spec(value) for value in model.graph.inputs if not value.is_initializer()),
        outputs=tuple(_spec(value) for value in model.graph.outputs),
    )


def _spec(value: ir.Value) -> TensorSpec:
    dimensions = None if value.shape is None else tuple(d if isinstance(d, int) else d.value for d in value.shape)
    dtype = None if value.dtype is None else value.dtype.name.lower()
    return TensorSpec(name=value.name or "", dtype=dtype, shape=dimensions)


def _num_classes(graph: GraphFacts) -> int | None:
    """Return the width of the only output, where that is `[N, classes]`."""
    shapes = [output.shape for output in graph.outputs]
    if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 2:
        return None
    width = shapes[0][1]
    return width if isinstance(width, int) else None
