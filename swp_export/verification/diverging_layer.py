"""Where two graphs part: the first layer, in execution order, whose output leaves its budget.

Layers are matched by the name they have in the checkpoint; of a pruned layer, the filters that are left are compared
with the same filters of the reference.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.metadata import FILTERS, LAYER, decode_order
from swp_export.lowerings.sink_concat import RaiseConcat
from swp_export.runtime.session import open_session
from swp_export.verification.comparison import Runs, budgets, compare


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
        mine, other = ours.layers[layer], theirs.layers[layer]
        both = np.intersect1d(mine.order[mine.order >= 0], other.order)
        if mine.filters != other.filters or not both.size:
            continue  # one name, two layers
        if not (mine.fits(y[mine.value]) and other.fits(truth[other.value])):
            continue  # its file says something else than it computes
        of_mine, of_other = mine.places(both), other.places(both)
        # No rounded runs here, which would cost more than they tell: a layer that diverges does so by far.
        runs = Runs(truth=truth[other.value], single=single[other.value], moved=np.zeros(truth[other.value].shape))
        # On one image a single channel may be exact by luck: the layer as a whole sets the limit.
        limit = budgets([runs])[0].max(initial=0)
        same = Runs(truth=runs.truth[:, of_other], single=runs.single[:, of_other], moved=runs.moved[:, of_other])
        limits = np.full(same.truth.shape, limit)
        result = compare(same, y[mine.value][:, of_mine], limits, case="", output=layer)
        if not result.ok:
            return layer
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LayerOutput:
    """Where a layer's output is: the `value` by name, and which of the layer's `filters` its channels are, in order."""

    value: str
    filters: int
    order: np.ndarray

    def fits(self, output: np.ndarray) -> bool:
        """Return whether `output` has as many channels as the file says."""
        return output.ndim > 1 and output.shape[1] == self.order.size

    def places(self, filters: np.ndarray) -> np.ndarray:
        """Return the channels of `filters`."""
        return np.array([np.flatnonzero(self.order == f)[0] for f in filters], np.int64)


class _LayerOutputs:
    """A copy of a model that gives every layer's output."""

    def __init__(self, model: ir.Model) -> None:
        self.model = ir.serde.deserialize_model(ir.serde.serialize_model(model))
        RaiseConcat()(self.model)
        self.layers: dict[str, _LayerOutput] = {}
        graph = self.model.graph
        for node in graph:
            if LAYER in node.metadata_props and FILTERS in node.metadata_props:
                value = node.outputs[0]
                assert value.name is not None
                filters, order = decode_order(node.metadata_props[FILTERS])
                self.layers[node.metadata_props[LAYER]] = _LayerOutput(value=value.name, filters=filters, order=order)
                if not value.is_graph_output():
                    value.type = ir.TensorType(ir.DataType.FLOAT)
                    graph.outputs.append(value)


def _run(model: ir.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    return open_session(ir.serde.serialize_model(model).SerializeToString()).run_on(x)
