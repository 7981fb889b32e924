"""Graphs of nodes made ready to run: what a node means is looked up once, its arrays flow through a dictionary.

Local functions are run as graphs of their own, under the opset that they state themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from swp_export.errors import InputError, ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.float64.control_flow import CONTROL_FLOW
from swp_export.graph.operators.call import Call, UnsupportedError, is_float, promoted
from swp_export.graph.operators.table import (
    NEWEST_OPSET,
    OLDEST_OPSET,
    OPERATORS,
    QUANTISED,
    RANDOM,
)

Values = dict[ir.Value, np.ndarray | None]
OnValue = Callable[[str, np.ndarray], np.ndarray]
MOST_NODES = 100_000
"""Functions that call functions grow without bound when they are written out; no network has so many nodes."""


@dataclasses.dataclass(kw_only=True)
class Scope:
    """Where a graph stands: the opsets it states, the model's functions, and the attributes of the call it is in."""

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str, str], ir.Function]
    arguments: Mapping[str, ir.Attr] = dataclasses.field(default_factory=dict)
    callers: tuple[tuple[str, str, str], ...] = ()
    nodes: list[int] = dataclasses.field(default_factory=lambda: [0])


class Program:
    """A graph, ready to run.

    Raises:
        ModelError: it holds an operator, an opset, a setting or a type that cannot be computed in float64.

    """

    def __init__(self, graph: ir.Graph | ir.Function, scope: Scope) -> None:
        self.inputs, self.outputs = list(graph.inputs), list(graph.outputs)
        self.constants = _initializers(graph) if isinstance(graph, ir.Graph) else {}
        self._steps = [_Step(node, scope) for node in graph]
        last: dict[ir.Value, int] = {}
        for number, step in enumerate(self._steps):
            last.update((value, number) for value in (*step.reads, *step.outputs))
        kept = set(self.outputs)
        own = {value for step in self._steps for value in step.outputs if value not in kept}
        own |= {value for value in self.constants if value in last and value not in kept}
        self._done: list[list[ir.Value]] = [[] for _ in self._steps]
        for value in own:
            self._done[last[value]].append(value)

    @property
    def reads(self) -> list[ir.Value]:
        """What the graph's nodes and outputs read, values of the graphs around it among them."""
        return [*(value for step in self._steps for value in step.reads), *self.outputs]

    def run(self, values: Values, on_value: OnValue | None = None) -> list[np.ndarray | None]:
        """Return the outputs. `values` holds the inputs and what the graph reads from around it; it is added to.

        Raises:
            InputError: a node refuses its inputs.
            ModelError: a node has a setting that is not implemented.

        """
        for step, done in zip(self._steps, self._done, strict=True):
            self._add_constants(step.reads, values, on_value)
            step.run(values, on_value)
            for value in done:
                values.pop(value, None)
        self._add_constants(self.outputs, values, on_value)
        return [values[value] for value in self.outputs]

    def _add_constants(self, wanted: Iterable[ir.Value], values: Values, on_value: OnValue | None) -> None:
        """Put those that are `wanted` and not there yet into `values`, and no sooner: they take twice as much."""
        for value in wanted:
            if value in self.constants and value not in values:
                array = self.constants[value]
                values[value] = _seen(value, promoted(array), on_value) if is_float(array) else array


class _Step:
    """One node, ready to run."""

    def __init__(self, node: ir.Node, scope: Scope) -> None:
        scope.nodes[0] += 1
        if scope.nodes[0] > MOST_NODES:
            raise ModelError(f"the model has more than {MOST_NODES} nodes once its functions are written out")
        self.inputs, self.outputs = list(node.inputs), list(node.outputs)
        self._op = node.op_type
        domain = "" if node.domain == "ai.onnx" else node.domain
        self._opset = _opset_of(domain, scope.opsets)
        name = node.name or next((value.name for value in node.outputs if value.name), "")
        self.label = f"node {name!r} ({node.op_type}, {_versioned(domain, self._opset)})"
        self._function: Program | None = None
        function = scope.functions.get((node.domain, node.op_type, node.overload))
        if function is not None:
            self._function = _called(function, node, scope)
            self._attributes: dict[str, Any] = {}
        else:
            self._refuse_unknown(domain)
            self._attributes = _attributes(node, scope)
            self._refuse_setting()
        graphs = [value for value in self._attributes.values() if isinstance(value, Program)]
        inner = (value for graph in graphs for value in graph.reads)
        self.reads = tuple(dict.fromkeys([*(value for value in self.inputs if value is not None), *inner]))

    def run(self, values: Values, on_value: OnValue | None) -> None:
        """Put the node's outputs into `values`."""
        results = self.results([None if value is None else values[value] for value in self.inputs], values)
        for value, result in zip(self.outputs, results, strict=False):
            if value.name and result is not None:
                array = np.asarray(result)
                hidden = self._op == "Constant" and not is_float(array)
                values[value] = array if hidden else _seen(value, array, on_value)
            else:
                values[value] = result

    def results(self, arrays: list[np.ndarray | None], values: Values) -> Sequence[np.ndarray | None]:
        """Return the outputs for the inputs `arrays`; a graph that the node holds sees `values` around it."""
        try:
            return self._results(arrays, values)
        except UnsupportedError as error:
            raise ModelError(f"{self.label} cannot be computed in float64: {error}") from error
        except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError) as error:
            shapes = [None if array is None else list(array.shape) for array in arrays]
            reason = " ".join(str(error).split())
            raise InputError(f"{self.label} refuses inputs of the shapes {shapes}: {reason}") from error

    def _results(self, arrays: list[np.ndarray | None], values: Values) -> Sequence[np.ndarray | None]:
        if self._function is not None:
            missing = [None] * (len(self._function.inputs) - len(arrays))
            return self._function.run(dict(zip(self._function.inputs, [*arrays, *missing], strict=True)))
        if self._op in CONTROL_FLOW:
            return CONTROL_FLOW[self._op](self._attributes, arrays, values)
        results = OPERATORS[self._op].compute(self._call(arrays))
        return results if isinstance(results, tuple) else (results,)

    def _call(self, arrays: Sequence[np.ndarray | None]) -> Call:
        outputs = sum(bool(value.name) for value in self.outputs)
        return Call(attributes=self._attributes, opset=self._opset, inputs=tuple(arrays), outputs=outputs)

    def _refuse_unknown(self, domain: str) -> None:
        if domain:
            raise ModelError(
                f"{self.label} cannot be computed in float64, so nothing can be proved of the model: its domain is not "
                "ONNX's; start from a model of ONNX's own operators, before it was optimised for one runtime"
            )
        if not OLDEST_OPSET <= self._opset <= NEWEST_OPSET:
            raise ModelError(
                f"{self.label} follows an opset that is not known here, expected {OLDEST_OPSET} to {NEWEST_OPSET}; "
                "convert the model with onnx.version_converter"
            )
        if self._op in RANDOM:
            raise ModelError(f"{self.label} draws random numbers: nothing can be proved; export the network without it")
        if self._op in QUANTISED:
            raise ModelError(
                f"{self.label} cannot be computed in float64: the model is quantised, so rounding is part of what it "
                "means; start from the float model"
            )
        if self._op not in OPERATORS and self._op not in CONTROL_FLOW:
            raise ModelError(
                f"{self.label} cannot be computed in float64, so nothing can be proved of the model: the operator is "
                "not implemented; export the network without it, or cut the model before it"
            )
        if self._op == "Scan" and self._opset < 9:
            raise ModelError(f"{self.label} cannot be computed in float64; convert the model to opset 9 or newer")

    def _refuse_setting(self) -> None:
        constants = [None if value is None or array_of(value) is None else array_of(value) for value in self.inputs]
        try:
            refuse = None if self._op in CONTROL_FLOW else OPERATORS[self._op].refuse
            if refuse is not None:
                refuse(self._call(constants))
            if self._op == "Constant":
                _of_known_type(np.asarray(OPERATORS["Constant"].compute(self._call(()))), "its value")
        except UnsupportedError as error:
            raise ModelError(f"{self.label} cannot be computed in float64: {error}") from error


def compute(node: ir.Node, opsets: Mapping[str, int], arrays: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Return the outputs of `node`, an operator of ONNX's at the stated `opsets`, for the inputs `arrays`.

    Raises:
        ModelError: the operator, the opset or a setting is not implemented.
        InputError: the node refuses the arrays.

    """
    step = _Step(node, Scope(opsets=opsets, functions={}))
    with np.errstate(all="ignore"):
        results = step.results([None if array is None else promoted(array) for array in arrays], {})
    return [np.asarray(result) for result in results[: len(node.outputs)]]


def _seen(value: ir.Value, array: np.ndarray, on_value: OnValue | None) -> np.ndarray:
    return array if on_value is None else on_value(value.name or "", array)


def _initializers(graph: ir.Graph) -> dict[ir.Value, np.ndarray]:
    constants = {}
    for value in graph.initializers.values():
        if value.const_value is not None:
            array = _of_known_type(value.const_value.numpy(), f"the initializer {value.name!r}")
            constants[value] = array
    return constants


def _of_known_type(array: np.ndarray, what: str) -> np.ndarray:
    if not is_float(array) and array.dtype.kind not in "biu":
        raise ModelError(f"{what} has the type {array.dtype}, expected floats of 16 bits or more, integers or booleans")
    return array


def _opset_of(domain: str, opsets: Mapping[str, int]) -> int:
    return max(opsets.get(domain, 0), opsets.get("ai.onnx", 0) if not domain else 0)


def _versioned(domain: str, opset: int) -> str:
    return f"domain {domain!r}, version {opset}" if domain else f"opset {opset}"


def _attributes(node: ir.Node, scope: Scope) -> dict[str, Any]:
    """Return the node's attributes as Python's values, those that a function passes on among them."""
    found: dict[str, Any] = {}
    for name, given in node.attributes.items():
        attribute = scope.arguments.get(given.ref_attr_name or "") if given.is_ref() else given
        if attribute is None:
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            found[name] = Program(attribute.as_graph(), scope)
        elif attribute.type == ir.AttributeType.TENSOR:
            found[name] = promoted(attribute.as_tensor().numpy())
        elif attribute.type == ir.AttributeType.FLOAT:
            found[name] = float(np.float32(attribute.as_float()))
        elif attribute.type == ir.AttributeType.FLOATS:
            found[name] = np.asarray(attribute.as_floats(), np.float32).astype(np.float64)
        else:
            found[name] = attribute.value
    return found


def _called(function: ir.Function, node: ir.Node, scope: Scope) -> Program:
    """Return the body of `function`, with the attributes that `node` calls it with."""
    if function.identifier() in scope.callers:
        raise ModelError(f"the function {function.name!r} calls itself, which ONNX does not allow")
    arguments = {name: attribute for name, attribute in function.attributes.items() if attribute.value is not None}
    for name, given in node.attributes.items():
        attribute = scope.arguments.get(given.ref_attr_name or "") if given.is_ref() else given
        if attribute is not None:
            arguments[name] = attribute
    inner = Scope(
        opsets=function.opset_imports or scope.opsets,
        functions=scope.functions,
        arguments=arguments,
        callers=(*scope.callers, function.identifier()),
        nodes=scope.nodes,
    )
    return Program(function, inner)
