"""The scan: what may be computed in float64 is what ONNX Runtime computes, for every definition of every operator."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper
import onnx_ir as ir
import pytest
from float64_cases import CASES, Case
from float64_runtime import TOLERANCE, difference, unoptimised

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.operator import Example, Tensor
from swp_export.graph.operators.table import NEWEST_OPSET, OLDEST_OPSET, OPERATORS

if TYPE_CHECKING:
    from swp_export.graph.operators.call import Call

NO_KERNEL = {("GlobalLpPool", 22): 21, ("RoiAlign", 22): 21}
"""Where the runtime has no kernel: it is run at this older opset. All that 22 added to these two is bfloat16."""


@functools.cache
def definitions(operator: str) -> list[int]:
    """Return the opsets, from the oldest that is known here on, at which the definition of `operator` changed."""
    history = onnx.defs.get_all_schemas_with_history()
    versions = [s.since_version for s in history if (s.domain, s.name, s.deprecated) == ("", operator, False)]
    return sorted({max(version, OLDEST_OPSET) for version in versions if version <= NEWEST_OPSET})


def cases_at(operator: str, opset: int) -> list[Case]:
    """Return the cases of `operator` that fit `opset`."""
    cases = (*CASES.get(operator, ()), *map(case_of, OPERATORS[operator].examples))
    return [case for case in cases if case.since <= opset <= case.until]


def case_of(example: Example) -> Case:
    """Return the example of a row of the table as a case."""
    inputs = tuple(
        drawn(given) if isinstance(given, Tensor) else None if given is None else np.asarray(given)
        for given in example.inputs
    )
    return Case(
        inputs=inputs,
        attributes=dict(example.attributes),
        since=example.since,
        until=example.until,
        outputs=example.outputs,
    )


def drawn(tensor: Tensor) -> np.ndarray:
    """Return random elements for an input that is computed."""
    rng = np.random.default_rng(0)
    if tensor.dtype == "float32":
        return rng.uniform(tensor.low, tensor.high, tensor.shape).astype(np.float32)
    return rng.integers(0, 2 if tensor.dtype == "bool" else 3, tensor.shape).astype(tensor.dtype)


def furthest(operator: str, opset: int, cases: list[Case]) -> float:
    """Return the largest difference between the float64 model and the runtime over `cases`."""
    model, feeds = model_of(operator, opset, cases)
    at_runtime, _ = model_of(operator, NO_KERNEL.get((operator, opset), opset), cases)
    expected = unoptimised(at_runtime, feeds)
    found = Float64Model(ir.from_proto(model)).run(feeds)
    assert found.keys() == expected.keys()
    return max(difference(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_compute_what_the_runtime_computes(operator: str) -> None:
    """Every setting of an operator, at every opset at which its definition changed, agrees with ONNX Runtime."""
    far = {opset: furthest(operator, opset, cases_at(operator, opset)) for opset in definitions(operator)}
    assert {opset: error for opset, error in far.items() if error > TOLERANCE} == {}


def test_every_definition_has_a_case() -> None:
    """No operator may be computed at a definition that is not compared, and no case is for nothing."""
    assert set(CASES) <= set(OPERATORS)
    uncovered = [(op, opset) for op in OPERATORS for opset in definitions(op) if not cases_at(op, opset)]
    assert uncovered == []
    unfit = [
        (op, case)
        for op, cases in CASES.items()
        for case in cases
        if not any(case.since <= opset <= case.until for opset in definitions(op))
    ]
    assert unfit == []


def test_the_newest_opset_is_the_runtimes() -> None:
    """The runtime runs the newest opset that is known here."""
    model, feeds = model_of("Relu", NEWEST_OPSET, cases_at("Relu", NEWEST_OPSET)[:1])
    assert unoptimised(model, feeds).keys() == {"y0_0"}


@pytest.mark.parametrize("operator", ["LRN", "Softmax", "AveragePool", "Resize", "LSTM", "Div"])
def test_the_scan_finds_a_wrong_function(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that is off by one part in ten thousand, or an integer by one, is found."""
    row = OPERATORS[operator]

    def wrong(call: Call) -> tuple[np.ndarray, ...]:
        results = row.compute(call)
        results = results if isinstance(results, tuple) else (results,)
        return tuple(y * 1.0001 if y.dtype.kind == "f" else y + 1 for y in results)

    monkeypatch.setitem(OPERATORS, operator, dataclasses.replace(row, compute=wrong))
    assert furthest(operator, 10, cases_at(operator, 10)) > TOLERANCE


def model_of(operator: str, opset: int, cases: list[Case]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Return a float32 model with one node for each of `cases`, and what it is fed."""
    nodes, feeds, outputs = [], {}, []
    for number, case in enumerate(cases):
        names = []
        for index, array in enumerate(case.inputs):
            names.append("" if array is None else f"x{number}_{index}")
            if array is not None:
                feeds[names[-1]] = array
        attributes = {
            key: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
            for key, value in case.attributes.items()
        }
        written = [f"y{number}_{index}" for index in range(case.outputs)]
        nodes.append(onnx.helper.make_node(operator, names, written, **attributes))
        outputs += [onnx.helper.make_empty_tensor_value_info(name) for name in written]
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = onnx.helper.make_graph(nodes, "scan", inputs, outputs)
    opsets = [onnx.helper.make_operatorsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds
