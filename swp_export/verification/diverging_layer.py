"""Where two graphs part: the first layer, in execution order, whose output leaves the budget that rounding gives it.

Layers are matched by the name they have in the checkpoint; of a pruned layer, the filters that are left are compared
with the same filters of the reference.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.files.content import session_content
from swp_export.graph.metadata import FILTERS, LAYER, decode_order
from swp_export.lowerings.sink_concat import RaiseConcat
from swp_export.runtime.session import open_session
from swp_export.verification.budget import budgets
from swp_export.verification.comparison import compare
from swp_export.verification.evidence import runs_on
from swp_export.verification.references import OnnxReference
from swp_export.verification.runs import Runs

if TYPE_CHECKING:
    from swp_export.runtime.session import Feed


def first_diverging_layer(model: ir.Model, reference: ir.Model, x: Feed, *, optimise: bool = True) -> str | None:
    """Return the name of the first layer of `model` that leaves `reference` on `x` by more than rounding explains.

    None where no layer does, or where the two have none in common.

    Args:
        model: any model of ours.
        reference: the dense masked graph it was made from, or any graph with the same layer names.
        x: the only input, or all by name, on which the two differ.
        optimise: whether both are run as ONNX Runtime optimises them.

    """
    ours, theirs = _LayerOutputs(model), _LayerOutputs(reference)
    common = [layer for layer in ours.layers if layer in theirs.layers]
    if not common:
        return None
    found = open_session(session_content(ours.model), optimise=optimise).run_on(x)
    runs = runs_on(OnnxReference(theirs.model, "the reference", optimise=optimise), x)
    for layer in common:
        mine, other = ours.layers[layer], theirs.layers[layer]
        both = np.intersect1d(mine.order[mine.order >= 0], other.order)
        if mine.filters != other.filters or not both.size:
            continue  # one name, two layers
        if not (mine.fits(found[mine.value]) and other.fits(runs[other.value].truth)):
            continue  # its file says something else than it computes
        of_layer = runs[other.value]
        (limits,) = budgets([of_layer])
        places = other.places(both)
        same = Runs(truth=of_layer.truth[:, places], single=of_layer.single[:, places], moved=of_layer.moved[:, places])
        y = found[mine.value][:, mine.places(both)]
        if not compare(same, y, limits[:, places], case="", output=layer).ok:
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
        self.model = model.clone()
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
                    value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
                    graph.outputs.append(value)
