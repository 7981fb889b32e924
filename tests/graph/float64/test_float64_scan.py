"""The scan: what may be computed in float64 is what ONNX Runtime computes, for every definition of every operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper
import onnx_ir as ir
import onnxruntime
import pytest
from float64_cases import CASES, Case

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.float64.operators import NEWEST_OPSET, OLDEST_OPSET, OPERATORS

TOLERANCE = 1e-5
"""Of the largest output: what float32 rounds."""


def definitions(operator: str) -> list[int]:
    """Return the opsets at which the definition of `operator` changed, from the oldest on that we know."""
    history = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == operator and s.domain == ""]
    versions = {s.since_version for s in history if s.since_version <= NEWEST_OPSET and not s.deprecated}
    ended = min((s.since_version for s in history if s.deprecated), default=NEWEST_OPSET + 1)
    first = max((v for v in versions if v <= OLDEST_OPSET), default=None)
    found = {v for v in versions if v > OLDEST_OPSET} | (set() if first is None else {OLDEST_OPSET})
    return sorted(v for v in found if v < ended or min(versions) > v)


PAIRS = [(operator, opset) for operator in OPERATORS for opset in definitions(operator)]


def cases_at(operator: str, opset: int) -> list[Case]:
    """Return the cases of `operator` that fit `opset`."""
    return [case for case in CASES.get(operator, ()) if case.since <= opset <= case.until]


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


def unoptimised(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what ONNX Runtime computes with all graph optimisations off, on one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return how far `found` is from the runtime's, relative to the largest; infinite where they are not alike."""
    if found.shape != expected.shape:
        return np.inf
    if expected.dtype.kind != "f":
        return 0.0 if found.dtype == expected.dtype and np.array_equal(found, expected) else np.inf
    if found.dtype != np.float64:
        return np.inf
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite].astype(np.float64), equal_nan=True):
        return np.inf
    far = np.abs(found[finite] - expected[finite]).max(initial=0)
    return float(far / (np.abs(expected[finite]).max(initial=0) or 1))
