"""What is in an ONNX model, without torch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import stripe_conv_from_node
from swp_export.graph.files.reading import read_model
from swp_export.graph.metadata import (
    ARCHITECTURE,
    FILTERS,
    INPUT_SHAPE,
    LAYER,
    LOWERING,
    RELATIVE_THRESHOLD,
    THRESHOLD,
    decode_filters,
    input_shape_of,
    threshold_of,
)
from swp_export.graph.normalise import normalised
from swp_export.graph.operators.naming import operator_of
from swp_export.inspection.layers import Convolution, dead_layer_warnings, inspected, skeleton_above, totals_of
from swp_export.inspection.report import GraphFacts, InspectReport, TensorSpec
from swp_export.inspection.values import skeleton_values
from swp_export.lowerings.lower import lift
from swp_export.network.relative_norms import beyond_gap, relative_norms, require_share, widest_gap_of
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir


_SHOWN = {ARCHITECTURE, THRESHOLD, RELATIVE_THRESHOLD, INPUT_SHAPE}


def inspect_onnx(path: Path, threshold: float | None) -> InspectReport:
    """Return what is in the ONNX model `path`; arguments and errors are those of `inspect`."""
    file = read_model(path)
    model, label = file.model, str(path)
    # Of the file as it is: lifting replaces nodes and weights.
    parameters, graph, lowerings = _parameters(model.graph), _graph_facts(model), _lowerings(model.graph)
    if threshold is not None:
        require_share(threshold)
        model = model if lowerings else normalised(model, label)
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
        metadata={k: v for k, v in file.model.metadata_props.items() if k not in _SHOWN},
        layers=layers,
        totals=totals_of(layers),
        values=skeleton_values(convolutions),
        graph=graph,
        warnings=(*dead_layer_warnings(layers), *([] if threshold is None else beyond_gap(norms, threshold, path))),
    )


def _recorded(model: ir.Model, label: str) -> float | None:
    recorded = threshold_of(model, label)
    return threshold_of(model, label, RELATIVE_THRESHOLD) if recorded is None else recorded


def _convolutions(graph: ir.Graph, lowerings: dict[str, str], threshold: float | None) -> list[Convolution]:
    """Return every Conv of `graph` with a constant 2-D weight, grouped ones included.

    Those that a threshold applies to have their stripes' relative norms where one is given, or where a wide gap between
    norms that are not zero suggests one.
    """
    found = []
    for node in graph:
        if operator_of(node) != "Conv":
            continue
        weight = array_of(node.inputs[1])
        if weight is None or weight.ndim != 4:
            continue
        name = node.metadata_props.get(LAYER) or node.name or node.outputs[0].name or ""
        filters = node.metadata_props.get(FILTERS)
        norms = None if stripe_conv_from_node(node) is None else relative_norms(weight)
        skeleton = Skeleton.from_weight(weight)
        if threshold is not None and norms is not None:
            skeleton = skeleton_above(norms, threshold)
        found.append(
            Convolution(
                name=name,
                channels=weight.shape[1],
                skeleton=skeleton,
                magnitudes=norms,
                filters_before=None if filters is None else decode_filters(filters).size,
                lowering=lowerings.get(name),
            )
        )
    gap = widest_gap_of([conv.magnitudes for conv in found if conv.magnitudes is not None])
    suggests = gap is not None and gap[0] > 0
    return found if threshold is not None or suggests else [dataclasses.replace(c, magnitudes=None) for c in found]


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
