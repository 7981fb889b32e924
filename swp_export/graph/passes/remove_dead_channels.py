"""Remove every channel that nothing reads: dead filters, and the input columns that would have read them.

A channel is needed if it is pinned (an output of the network, an operator that is not followed), or if a needed row of
some weight reads it with a weight that is not exactly zero. The others go from every tensor. Before and after:

    Conv [64, 3, 3, 3] -> Relu -> Conv [64, 64, 3, 3]        22 columns of the second are zero
    Conv [42, 3, 3, 3] -> Relu -> Conv [64, 42, 3, 3]

A tensor never loses its last channel, since ONNX has no maps without any.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.passes.take_channels import take_channels


class RemoveDeadChannels(ir.passes.InPlacePass):
    """See the module's docstring."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find the needed channels, then take those."""
        channels = Channels(model.graph)
        needed = needed_channels(model.graph, channels)
        modified = take_channels(model.graph, channels, lambda ids: np.flatnonzero(needed[ids]))
        return ir.passes.PassResult(model, modified)


def needed_channels(graph: ir.Graph, channels: Channels) -> np.ndarray:
    """Return bool by channel: the least set that is closed under being read by a needed row."""
    needed = np.zeros(len(channels), bool)
    needed[channels.pinned()] = True
    followed = [node for node in reversed(graph) if channels.follows(node)]
    readers = [reads for node in followed if (reads := channels.rule(node).reads(channels.view(node))) is not None]
    carried = [layout.ids for _, layout in channels.layouts() if layout.ids.size]
    while True:
        before = needed.sum()
        for reads in readers:
            needed[reads.columns[reads.weight[needed[reads.rows]].any(axis=0)]] = True
        if needed.sum() > before:
            continue
        for ids in carried:  # only now, since a tensor that has none yet may have got one
            if not needed[ids].any():
                needed[ids[0]] = True
        if needed.sum() == before:
            return needed
