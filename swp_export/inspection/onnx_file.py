"""What is in an ONNX model, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.errors import ThresholdError
from swp_export.graph.constants import array_of
from swp_export.graph.files.reading import read_model
from swp_export.graph.metadata import (
    ARCHITECTURE,
    FILTERS,
    INPUT_SHAPE,
    LAYER,
    LOWERING,
    THRESHOLD,
    decode_filters,
    input_shape_of,
    threshold_of,
)
from swp_export.graph.operators.naming import operator_of
from swp_export.inspection.layers import Convolution, dead_layer_warnings, inspected, totals_of
from swp_export.inspection.report import GraphFacts, InspectReport, TensorSpec
from swp_export.lowerings.lower import lift
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir


def inspect_onnx(path: Path, threshold: float | None) -> InspectReport:
    """Return what is in the ONNX model `path`; arguments and errors are those of `inspect`."""
    if threshold is not None:
        raise ThresholdError(
            f"{path} is an ONNX model, it has no Filter Skeletons to compare with a threshold: its dead stripes are "
            "those whose weights are exactly zero; leave out --threshold"
        )
    file = read_model(path)
    model = file.model
    # Of the file as it is: lifting replaces nodes and weights.
    parameters, graph, lowerings = _parameters(model.graph), _graph_facts(model), _lowerings(model.graph)
    layers = tuple(inspected(conv) for conv in _convolutions(lift(model).graph, lowerings))
    return InspectReport(
        file=str(path),
        kind="onnx",
        bytes=path.stat().st_size,
        sha256=file.sha256,
        architecture=model.metadata_props.get(ARCHITECTURE),
        num_classes=_num_classes(graph),
        input_shape=input_shape_of(model, str(path)),
        recorded_threshold=threshold_of(model, str(path)),
        threshold=None,
        fitting_thresholds=None,
        parameters=parameters,
        metadata={k: v for k, v in model.metadata_props.items() if k not in {ARCHITECTURE, THRESHOLD, INPUT_SHAPE}},
        layers=layers,
        totals=totals_of(layers),
        values=None,
        graph=graph,
        warnings=dead_layer_warnings(layers),
    )


def _convolutions(graph: ir.Graph, lowerings: dict[str, str]) -> list[Convolution]:
    """Return every Conv of `graph` with a constant 2-D weight, grouped ones included."""
    found = []
    for node in graph:
        if operator_of(node) != "Conv":
            continue
        weight = array_of(node.inputs[1])
        if weight is None or weight.ndim != 4:
            continue
        name = node.metadata_props.get(LAYER) or node.name or node.outputs[0].name or ""
        filters = node.metadata_props.get(FILTERS)
        found.append(
            Convolution(
                name=name,
                channels=weight.shape[1],
                skeleton=Skeleton.from_weight(weight),
                filters_before=None if filters is None else decode_filters(filters).size,
                lowering=lowerings.get(name),
            )
        )
    return found


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
