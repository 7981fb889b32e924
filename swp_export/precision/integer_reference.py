"""What a QDQ model must compute, integer by integer, and how many steps off ONNX Runtime is.

The model is cut wherever a value is rounded. Each piece takes the integers that ONNX Runtime gave to it, computes in
float64 what no int32 sum of such products loses, and rounds half to even: so every layer is judged by itself, on the
integers that it really had, and what is off is off there.

    moved    pools, Concat, one-hot shifts without bias      bit for bit
    rest     products and sums                               within one step, for the float32 scale of kernels
    outputs  floats behind the last DequantizeLinear         within FLOAT_SHARE of their largest
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators.naming import operator_of
from swp_export.precision.integer_values import MOVES
from swp_export.precision.unrounded import stored
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swp_export.runtime.session import Array

    Run = Callable[[Array], Mapping[str, Array]]

FLOAT_SHARE = 1e-4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps:
    """How far off one value is.

    Attributes:
        value: its name.
        layer: the layer that computes it, "" for none.
        steps: the largest distance to the integer reference.
        allowed: 0 for what is moved, 1 for what is computed.
        off: how many elements are further off than allowed.
        elements: how many there are.

    """

    value: str
    layer: str
    steps: int
    allowed: int
    off: int
    elements: int

    @property
    def ok(self) -> bool:
        """Whether nothing is further off than allowed."""
        return self.off == 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rounding:
    """A QuantizeLinear: of which value, into which integers, and the value that reads them back.

    Attributes:
        value: what is rounded, by name.
        integers: what it is rounded to.
        back: what reads the integers back.
        scale: one step.
        zero: the integer that stands for 0.
        dtype: of the integers.
        layer: that computes the value, "" for none.
        moved: whether the value consists of integers that were only moved.

    """

    value: str
    integers: str
    back: str
    scale: float
    zero: int
    dtype: np.dtype[np.int8] | np.dtype[np.uint8]
    layer: str
    moved: bool

    def read(self, actual: Mapping[str, Array]) -> np.ndarray:
        """Return what the integers of `actual` stand for."""
        return np.asarray((actual[self.integers].astype(np.float64) - self.zero) * self.scale)


def is_quantised(model: ir.Model) -> bool:
    """Tell whether `model` is written as QDQ."""
    return any(operator_of(node) == "DequantizeLinear" for node in model.graph)


class IntegerReference:
    """The pieces of one QDQ model.

    Args:
        content: the model.

    Attributes:
        roundings: where it is cut, in order.

    Raises:
        ModelError: its scales are not constant, or not one for each value.

    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        model = ir.from_proto(onnx.ModelProto.FromString(content))
        self.roundings = _roundings(model.graph)
        self._outputs = tuple(value.name or "" for value in model.graph.outputs)
        self._pieces = _cut(model, self.roundings)

    def looked_into(self) -> Run:
        """Return what runs the model in ONNX Runtime and gives its integers too, by the names of their values."""
        model = ir.from_proto(onnx.ModelProto.FromString(self._content))
        values = {value.name: value for node in model.graph for value in node.outputs}
        for rounding in self.roundings:
            value = values[rounding.integers]
            value.type = ir.TensorType(ir.DataType(onnx.helper.np_dtype_to_tensor_dtype(rounding.dtype)))
            if not value.is_graph_output():
                model.graph.outputs.append(value)
        return open_session(ir.to_proto(model).SerializeToString()).run_on

    def steps(self, images: Array, actual: Mapping[str, Array]) -> list[Steps]:
        """Return how many steps each rounded value of `actual`, what a run on `images` gave, is off, in order."""
        (given,) = set(self._pieces.inputs) - {rounding.back for rounding in self.roundings}
        backs = {rounding.back: rounding.read(actual) for rounding in self.roundings}
        truth = self._pieces.run({given: images, **backs})
        found = [_steps_of(rounding, truth[rounding.value], actual[rounding.integers]) for rounding in self.roundings]
        return [*found, *(_float_steps(name, truth[name], actual[name]) for name in self._outputs)]


def worst_steps(found: Sequence[Sequence[Steps]]) -> list[Steps]:
    """Return the worst of several runs, value by value."""
    return [
        dataclasses.replace(
            max(runs, key=lambda run: run.steps),
            off=sum(run.off for run in runs),
            elements=sum(run.elements for run in runs),
        )
        for runs in zip(*found, strict=True)
    ]


def _steps_of(rounding: Rounding, truth: np.ndarray, actual: np.ndarray) -> Steps:
    limits = np.iinfo(rounding.dtype)
    expected = np.clip(np.rint(truth / rounding.scale) + rounding.zero, limits.min, limits.max)
    distance = np.abs(expected - actual)
    allowed = 0 if rounding.moved else 1
    return Steps(
        value=rounding.value,
        layer=rounding.layer,
        steps=int(distance.max(initial=0)),
        allowed=allowed,
        off=int((distance > allowed).sum()),
        elements=distance.size,
    )


def _float_steps(name: str, truth: np.ndarray, actual: np.ndarray) -> Steps:
    """Return how far an output is off, in units of FLOAT_SHARE of its largest; what is not finite is off too."""
    unit = FLOAT_SHARE * float(np.abs(truth).max(initial=0)) or 1.0
    distance = np.nan_to_num(np.abs(truth - actual) / unit, nan=np.inf, posinf=1e9)
    off = int((distance > 1).sum())
    return Steps(
        value=name, layer="", steps=int(np.ceil(distance.max(initial=0))), allowed=1, off=off, elements=distance.size
    )


def _roundings(graph: ir.Graph) -> list[Rounding]:
    found = []
    for node in graph:
        value = node.inputs[0] if node.inputs else None
        if operator_of(node) != "QuantizeLinear" or value is None:
            continue
        scale, zero = array_of(node.inputs[1]), array_of(node.inputs[2]) if len(node.inputs) > 2 else None
        readers = [use.node for use in node.outputs[0].uses()]
        if scale is None or scale.size != 1 or zero is None or len(readers) != 1:
            raise ModelError(f"{node.name}: expected one constant scale and zero point, and one DequantizeLinear")
        producer = value.producer()
        found.append(
            Rounding(
                value=value.name or "",
                integers=node.outputs[0].name or "",
                back=readers[0].outputs[0].name or "",
                scale=float(scale.reshape(())),
                zero=int(zero.reshape(())),
                dtype=zero.dtype,
                layer=node.metadata_props.get(LAYER, ""),
                moved=_is_moved(producer),
            )
        )
    return found


def _is_moved(producer: ir.Node | None) -> bool:
    if producer is None or operator_of(producer) in MOVES:
        return producer is not None and _reads_integers(producer)
    # The weights of a shift are integers by now: 127 at scale 1/127.
    return operator_of(producer) == "Conv" and len(producer.inputs) < 3 and _is_one_hot(producer)


def _reads_integers(node: ir.Node) -> bool:
    given = [value.producer() for value in node.inputs if value is not None and array_of(value) is None]
    return all(producer is not None and operator_of(producer) == "DequantizeLinear" for producer in given)


def _is_one_hot(conv: ir.Node) -> bool:
    weight = conv.inputs[1]
    producer = None if weight is None else weight.producer()
    stored = None if producer is None else array_of(producer.inputs[0])
    if stored is None or stored.ndim != 4 or stored.shape[1] != 1 or len(stored) == 1:
        return False
    return bool((np.count_nonzero(stored.reshape(len(stored), -1), axis=1) <= 1).all())


def _cut(model: ir.Model, roundings: Sequence[Rounding]) -> Float64Model:
    """Return `model`, which is changed, cut at its roundings, in float64."""
    graph = model.graph
    backs = {rounding.back for rounding in roundings}
    for node in list(graph):
        if operator_of(node) != "DequantizeLinear":
            continue
        value = node.outputs[0]
        name, is_output = value.name or "", value.is_graph_output()
        if name in backs:
            fed = ir.Value(name=name, type=ir.TensorType(ir.DataType.DOUBLE))
            graph.inputs.append(fed)
        else:
            fed = ir.Value(name=name, const_value=ir.tensor(stored(node), name=name))
            graph.register_initializer(fed)
        if is_output:
            graph.outputs[:] = [fed if output is value else output for output in graph.outputs]
        value.name = f"{name}/cut"
        ir.convenience.replace_all_uses_with(value, fed)
        graph.remove(node, safe=True)
    for node in [node for node in graph if operator_of(node) == "QuantizeLinear"]:
        source = node.inputs[0]
        graph.remove(node, safe=True)
        if source is not None and not source.is_graph_output():
            graph.outputs.append(source)
    return Float64Model(model)
