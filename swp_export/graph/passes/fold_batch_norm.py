"""Merge a BatchNormalization into the convolution before it, in float64, rounding once.

    s = gamma / sqrt(var + eps)
    BatchNormalization(Conv(x; W, b))   ->   Conv(x; s[o] * W[o], (b - mean) * s + beta)

onnx-simplifier would do the same in float32, rounding at every step; here each weight is rounded once. A dead stripe
stays exactly zero. Only where nothing else reads the convolution's output.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.constants import array_of
from swp_export.graph.operators.naming import operator_of
from swp_export.graph.operators.table import weighted, weights_of


class FoldBatchNorm(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every BatchNormalization."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) == "BatchNormalization" and _fold(node):
                modified = True
        return ir.passes.PassResult(model, modified)


def _fold(node: ir.Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    conv = source.producer() if source is not None else None
    weights, rule = (None, None) if conv is None else (weights_of(conv), weighted(conv))
    parameters = [array_of(value) for value in node.inputs[1:5]]
    if source is None or conv is None or weights is None or rule is None or any(array is None for array in parameters):
        return False
    if not weights.holds_bias or weights.axis != 1:
        return False
    if len(source.uses()) != 1 or source.is_graph_output() or len(node.outputs) != 1 or output.is_graph_output():
        return False
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in parameters)
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    scale = gamma / np.sqrt(variance + epsilon)
    weight = weights.weight.astype(np.float64) * scale.reshape(-1, *[1] * (weights.weight.ndim - 1))
    rule.replace(conv, weight, (weights.biases().astype(np.float64) - mean) * scale + beta, weights.group)
    ir.convenience.replace_all_uses_with(output, source)
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.remove(node, safe=True)
    return True
