"""Where two graphs part: the first layer, in execution order, whose output leaves its budget.

Layers are matched by the name they have in the checkpoint; of a pruned layer, the filters that are left are compared
with the same filters of the reference.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.convolutions import FILTERS, LAYER, decode_filters
from swp_export.runtime.session import open_session
from swp_export.verification.comparison import compare
from swp_export.verification.float64 import Float64Model


def first_diverging_layer(model: ir.Model, reference: ir.Model, x: np.ndarray) -> str | None:
    """Return the name of the first layer of `model` that diverges from `reference` on `x` `[N, C, H, W]`, or None.

    Args:
        model: any model of ours.
        reference: the dense masked graph it was made from, or any graph with the same layer names.
        x: float32 input on which the two differ.

    """
    ours, theirs = _LayerOutputs(model), _LayerOutputs(reference)
    common = [layer for layer in ours.layers if layer in theirs.layers]
    if not common:
        return None
    y = _run(ours.model, x)
    single, truth = _run(theirs.model, x), Float64Model(theirs.model).run(x)
    for layer in common:
        (value, kept), (expected, present) = ours.layers[layer], theirs.layers[layer]
        if kept.size != present.size:
            continue  # one name, two layers
        both = kept & present
        mine, other = np.flatnonzero(both[kept]), np.flatnonzero(both[present])
        result = compare(
            truth[expected][:, other], single[expected][:, other], y[value][:, mine], case="", output=layer
        )
        if not result.ok:
            return layer
    return None


class _LayerOutputs:
    """A copy of a model that gives every layer's output; `layers`: layer -> name of its output, filters left."""

    def __init__(self, model: ir.Model) -> None:
        self.model = ir.serde.deserialize_model(ir.serde.serialize_model(model))
        self.layers: dict[str, tuple[str, np.ndarray]] = {}
        graph = self.model.graph
        for node in graph:
            if LAYER in node.metadata_props and FILTERS in node.metadata_props:
                value = node.outputs[0]
                assert value.name is not None
                self.layers[node.metadata_props[LAYER]] = (value.name, decode_filters(node.metadata_props[FILTERS]))
                if not value.is_graph_output():
                    value.type = ir.TensorType(ir.DataType.FLOAT)
                    graph.outputs.append(value)


def _run(model: ir.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    session = open_session(ir.serde.serialize_model(model).SerializeToString())
    return session.run({session.inputs[0].name: x})
