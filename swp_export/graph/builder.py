"""A tape on which a lowering writes the nodes of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.tape

from swp_export.graph.constants import register_initializer, unique_name, value_names
from swp_export.graph.metadata import GEOMETRY, LAYER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Attributes = Mapping[str, int | Sequence[int]]

DEFAULT_MULTIPLE = 8
"""Channels of one block of ONNX Runtime's layout with AVX2; 16 with AVX-512."""


class LayerBuilder:
    """Collects the nodes of one layer; each is named `<layer>/<what>` and marked with the layer's name.

    Attributes:
        layer: its name.
        multiple: rows and channels that a lowering is free to add fill up to a multiple of this.

    Args:
        taken: the names of all values of the graph, to which those that are made are added; default: they are looked
            up, which takes as long as the graph is.

    """

    def __init__(
        self, graph: ir.Graph, layer: str, multiple: int = DEFAULT_MULTIPLE, *, taken: set[str] | None = None
    ) -> None:
        self._graph = graph
        self._tape = ir.tape.Tape()
        self._taken = value_names(graph) if taken is None else taken
        self.layer = layer
        self.multiple = multiple

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """The nodes so far, in order; not yet part of the graph."""
        return self._tape.nodes

    def op(self, op_type: str, inputs: Sequence[ir.Value], what: str, attributes: Attributes | None = None) -> ir.Value:
        """Append a node with one output, which bears the node's name, and return the output."""
        name = self._unique(what)
        value = self._tape.op(op_type, inputs, attributes or {}, name=name, metadata_props={LAYER: self.layer})
        value.name = name
        return value

    def conv(
        self,
        x: ir.Value,
        weight: np.ndarray,
        what: str,
        *,
        bias: np.ndarray | None = None,
        attributes: Attributes | None = None,
        geometry: str | None = None,
    ) -> ir.Value:
        """Append a Conv with `weight` and return its output; `geometry` says what it holds of the layer."""
        inputs = [x, self.weights(weight, "weight")]
        if bias is not None:
            inputs.append(self.weights(bias, "bias"))
        value = self.op("Conv", inputs, what, {"kernel_shape": weight.shape[2:], **(attributes or {})})
        producer = value.producer()
        assert producer is not None
        if geometry is not None:
            producer.metadata_props[GEOMETRY] = geometry
        return value

    def split(self, value: ir.Value, sizes: Sequence[int], what: str) -> Sequence[ir.Value]:
        """Append a Split of the channels of `value` into `sizes`."""
        name = self._unique(what)
        values = self._tape.op_multi_out(
            "Split",
            [value, self.indices(sizes, f"{what}_sizes")],
            {"axis": 1},
            num_outputs=len(sizes),
            name=name,
            metadata_props={LAYER: self.layer},
        )
        for index, part in enumerate(values):
            part.name = self._unique(f"{what}.{index}")
        return values

    def weights(self, array: np.ndarray, what: str) -> ir.Value:
        """Return an initializer that holds `array` in its own dtype."""
        return register_initializer(self._graph, self._unique(what), array)

    def indices(self, values: Sequence[int] | np.ndarray, what: str) -> ir.Value:
        """Return an int64 initializer."""
        return self.weights(np.asarray(values, np.int64), what)

    def _unique(self, what: str) -> str:
        return unique_name(f"{self.layer}/{what}", self._taken)
