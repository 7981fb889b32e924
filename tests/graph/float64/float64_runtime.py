"""ONNX Runtime in float32 with all graph optimisations off, on one thread; and how far others are from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-5
"""Of the largest output: what float32 rounds."""


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
