"""What each layer of a model gives, by the name that the layer has in the checkpoint."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from swp_export.graph.metadata import FILTERS, LAYER, decode_order
from swp_export.lowerings.sink_concat import RaiseConcat


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerOutput:
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


class LayerOutputs:
    """A copy of a model that gives every layer's output.

    Attributes:
        model: the copy.
        layers: where each layer's output is, by its name.

    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model.clone()
        RaiseConcat()(self.model)
        self.layers: dict[str, LayerOutput] = {}
        graph = self.model.graph
        for node in graph:
            if LAYER in node.metadata_props and FILTERS in node.metadata_props:
                value = node.outputs[0]
                assert value.name is not None
                filters, order = decode_order(node.metadata_props[FILTERS])
                self.layers[node.metadata_props[LAYER]] = LayerOutput(value=value.name, filters=filters, order=order)
                if not value.is_graph_output():
                    value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
                    graph.outputs.append(value)
