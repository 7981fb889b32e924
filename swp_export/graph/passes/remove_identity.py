"""Remove Identity, wherever its name is not needed: Identity(x) -> x.

An output of the graph keeps its name: there the node before it takes it over, unless its own output is asked for too.
"""

from __future__ import annotations

import onnx_ir as ir

from swp_export.graph.operators.naming import operator_of


class RemoveIdentity(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Visit every Identity, in subgraphs too."""
        modified = False
        for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
            if operator_of(node) == "Identity":
                modified |= _remove(node)
        return ir.passes.PassResult(model, modified)


def _remove(node: ir.Node) -> bool:
    source, output, graph = node.inputs[0], node.outputs[0], node.graph
    assert isinstance(graph, ir.Graph)
    if source is None:
        return False
    if output.is_graph_output():
        producer = source.producer()
        if producer is None or producer.graph is not graph or source.is_graph_output():
            return False
        source.name, output.name = output.name, None
        source.type, source.shape = source.type or output.type, source.shape or output.shape
    ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True
