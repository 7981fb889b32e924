"""A float model with some of its layers in int8, written as standard QDQ.

    x -> QuantizeLinear -> DequantizeLinear -> Conv <- DequantizeLinear <- int8 weight, a scale for each filter
                                                    <- DequantizeLinear <- int32 bias

ONNX Runtime, OpenVINO and TensorRT each make integer kernels of these. Names of values stay: a value `v` that is
rounded is `v` before its QuantizeLinear and `v/dequantized` behind it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import array_of, register_initializer, unique_name, value_names
from swp_export.graph.metadata import GEOMETRY, LAYER
from swp_export.graph.operators.naming import operator_of
from swp_export.precision.balance import balance, summed_rows
from swp_export.precision.integer_values import FOLDS, integer_values
from swp_export.precision.keep_float import keep_float
from swp_export.precision.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from swp_export.precision.integer_values import IntegerValues
    from swp_export.precision.scheme import Scheme

    Parameters = Mapping[ir.Value, tuple[float, int]]

SMALL_BIAS = 1 << 16
"""What the bias of a filter of zeros becomes: its weights say nothing of a scale."""
LARGE_BIAS = 1 << 30


def values_to_calibrate(model: ir.Model, layers: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the names of the values whose ranges `quantise` needs, and of those whose peaks by channel."""
    found = integer_values(model.graph, layers)
    rows = summed_rows(found.convs)
    return [v.name or "" for v in found.paired if v not in rows], [v.name or "" for v in rows]


def unit_ranges(model: ir.Model, layers: Collection[str]) -> Ranges:
    """Return ranges that fit no data: what a model costs does not depend on them."""
    ends, peaks = values_to_calibrate(model, layers)
    rows = {v.name: v for node in model.graph for v in node.outputs}
    channels = {name: len(array_of(rows[name].producer().inputs[1])) for name in peaks}  # type: ignore[union-attr,arg-type]
    return Ranges(ends=dict.fromkeys(ends, (0.0, 1.0)), peaks={n: (1.0,) * c for n, c in channels.items()})


def quantise(model: ir.Model, layers: Collection[str], ranges: Ranges, scheme: Scheme) -> None:
    """Write the convolutions of `layers`, in place, in int8, and what lies between them.

    Args:
        model: lowered, in float32.
        layers: by the names of the checkpoint.
        ranges: where the values lie that `values_to_calibrate` names.
        scheme: which integers.

    """
    found = integer_values(model.graph, layers)
    peaks = balance(summed_rows(found.convs), ranges.peaks, scheme.largest_weight)
    parameters = _parameters(found, ranges, peaks, scheme)
    writer = _Writer(model.graph, scheme)
    for conv in found.convs:
        scale, _ = parameters[_rounded_input(conv)]
        writer.write_weights(conv, scale)
    for value in found.paired:
        scale, zero = parameters[value]
        writer.write_pair(value, scale, zero)
        if zero == 0 and not scheme.symmetric:
            _drop_relu(model.graph, value)
    model.graph.sort()
    keep_float(model.graph)
    for node in model.graph:
        node.metadata_props.pop(GEOMETRY, None)


def _rounded_input(conv: ir.Node) -> ir.Value:
    value = conv.inputs[0]
    assert value is not None
    return value


def _drop_relu(graph: ir.Graph, value: ir.Value) -> None:
    """Let the rounding of `value` cut off what is below 0 in the place of its Relu, as ONNX Runtime expects it."""
    relu = value.producer()
    before = None if relu is None or operator_of(relu) != "Relu" else relu.inputs[0]
    computing = None if before is None else before.producer()
    if relu is None or before is None or computing is None or len(before.uses()) != 1:
        return
    if operator_of(computing) in FOLDS:
        name = value.name
        ir.convenience.replace_all_uses_with(value, before)
        graph.remove(relu, safe=True)
        before.name = name


def _parameters(
    found: IntegerValues, ranges: Ranges, peaks: Mapping[ir.Value, float], scheme: Scheme
) -> dict[ir.Value, tuple[float, int]]:
    """Return scale and zero point of every value that is rounded."""
    ends: dict[ir.Value, tuple[float, float]] = {}
    for value in found.paired:
        peak = peaks.get(value)
        shared = next((peaks[v] for v in peaks if found.alike.get(value) is found.alike.get(v)), None)
        peak = shared if peak is None else peak
        low, high = (-peak, peak) if peak is not None else ranges.ends[value.name or ""]
        first = found.alike[value]
        before = ends.get(first, (0.0, 0.0))
        ends[first] = min(before[0], low), max(before[1], high)
    rows = {found.alike[value] for value in found.rows}
    own = {
        first: scheme.signed(max(-low, high)) if first in rows else scheme.parameters(low, high)
        for first, (low, high) in ends.items()
    }
    largest: dict[ir.Value, float] = {}
    for value in found.paired:
        leader = found.scaled[value]
        largest[leader] = max(largest.get(leader, 0.0), own[found.alike[value]][0])
    result = {}
    for value in found.paired:
        first, scale = found.alike[value], largest[found.scaled[value]]
        low, _ = ends[first]
        zero = own[first][1]
        if scale != own[first][0] and first not in rows and not scheme.symmetric:
            zero = round(-low / scale)
        result[value] = (scale, zero)
    return result


@dataclasses.dataclass(eq=False)
class _Writer:
    graph: ir.Graph
    scheme: Scheme

    def __post_init__(self) -> None:
        self._taken = value_names(self.graph)

    def write_pair(self, value: ir.Value, scale: float, zero: int) -> None:
        """Round `value` for all that read it."""
        name = value.name or ""
        readers, is_output = list(value.uses()), value.is_graph_output()
        scale_value = self._constant(f"{name}/scale", np.array(scale, np.float32))
        zero_value = self._constant(f"{name}/zero", np.array(zero, self.scheme.dtype))
        rounded = self._node("QuantizeLinear", [value, scale_value, zero_value], f"{name}/quantized", value)
        back = self._node("DequantizeLinear", [rounded, scale_value, zero_value], f"{name}/dequantized", value)
        back.shape, back.type = value.shape, ir.TensorType(ir.DataType.FLOAT)
        if is_output:
            for index, output in enumerate(self.graph.outputs):
                if output is value:
                    self.graph.outputs[index] = back
            value.name, back.name = unique_name(f"{name}/float", self._taken), name
        for use in readers:
            use.node.replace_input_with(use.idx, back)

    def write_weights(self, conv: ir.Node, scale: float) -> None:
        """Write weight and bias of `conv`, whose input has this `scale`, as integers."""
        weight = array_of(conv.inputs[1])
        bias = array_of(conv.inputs[2]) if len(conv.inputs) > 2 else None
        assert weight is not None
        largest = self.scheme.largest_weight
        scales = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float64) / largest
        if bias is not None:
            size = np.abs(bias).astype(np.float64) / scale
            scales = np.where(scales > 0, np.maximum(scales, size / LARGE_BIAS), size / SMALL_BIAS)
        scales = np.where(scales > 0, scales, 1.0).astype(np.float32)
        integers = np.clip(np.rint(weight / scales[:, None, None, None].astype(np.float64)), -largest, largest)
        self._replace(conv, 1, integers.astype(np.int8), scales)
        if bias is not None and not self.scheme.symmetric:  # TensorRT dequantizes no int32
            of_products = (scales.astype(np.float64) * np.float32(scale)).astype(np.float32)
            self._replace(conv, 2, np.rint(bias / of_products.astype(np.float64)).astype(np.int32), of_products)

    def _replace(self, conv: ir.Node, index: int, integers: np.ndarray, scales: np.ndarray) -> None:
        old = conv.inputs[index]
        assert old is not None
        name = old.name or f"{conv.name}/{index}"
        stored = self._constant(f"{name}/quantized", integers)
        scale_value = self._constant(f"{name}/scale", scales)
        back = self._node("DequantizeLinear", [stored, scale_value], f"{name}/dequantized", conv, axis=0)
        conv.replace_input_with(index, back)
        if old.is_initializer() and not old.uses() and not old.is_graph_output():
            del self.graph.initializers[name]

    def _node(
        self, op: str, inputs: list[ir.Value], name: str, at: ir.Value | ir.Node, *, axis: int | None = None
    ) -> ir.Value:
        unique = unique_name(name, self._taken)
        node = ir.Node("", op, inputs, [] if axis is None else [ir.AttrInt64("axis", axis)], num_outputs=1, name=unique)
        node.outputs[0].name = unique
        layer = at if isinstance(at, ir.Node) else at.producer()
        if layer is not None and operator_of(layer) == "Relu" and layer.inputs[0] is not None:
            layer = layer.inputs[0].producer()
        if layer is not None and LAYER in layer.metadata_props:
            node.metadata_props[LAYER] = layer.metadata_props[LAYER]
        self.graph.append(node)
        return node.outputs[0]

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        return register_initializer(self.graph, unique_name(name, self._taken), array)
