"""Drop a Relu whose input cannot be negative: Relu(Relu(x)) -> Relu(x), what a dead identity block leaves.

Looks back through MaxPool, which neither makes nor removes negative values.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.operators.naming import operator_of


class RemoveRepeatedRelu(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Relu."""
        modified = False
        for node in list(model.graph):
            if operator_of(node) != "Relu" or node.outputs[0].is_graph_output():
                continue
            source = node.inputs[0]
            if source is not None and _is_not_negative(source):
                ir.convenience.replace_all_uses_with(node.outputs[0], source)
                model.graph.remove(node, safe=True)
                modified = True
        return ir.passes.PassResult(model, modified)


def _is_not_negative(value: ir.Value) -> bool:
    producer = value.producer()
    while producer is not None and operator_of(producer) == "MaxPool" and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    return producer is not None and operator_of(producer) == "Relu"
