"""A grouped convolution of which every row and every column may go alone, not only whole groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.node_view import Layout
from swp_export.graph.operators.operator import ChannelRule, Reads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.weights import Weights


class GroupsApart(ChannelRule):
    """What stands for `Weighted` where a convolution is to be written as several.

    Columns k that hold constants c_k, and whose taps see padding, are multiples of one map. One channel h, the one with
    the largest |c|, stands for all of them, in every group: `W'[o, h] = sum of W[o, k] * c_k / c_h`.

    Attributes:
        weights: of the node.
        weight: `[N, C / group, *kernel]`, float64, zero where a column holds a constant.
        holder: h, a channel of the input; None where no constants are read.
        held: W'[:, h], `[N, *kernel]`, float64.
        columns_taken, rows_taken: where the channels that are left were; set by `take`.

    """

    def __init__(self, weights: Weights, constants: np.ndarray | None) -> None:
        super().__init__()
        self.weights, self.holder = weights, None if constants is None else _holder(weights, constants)
        self.weight = weights.weight.astype(np.float64)
        self.held = np.zeros((weights.filters, *self.weight.shape[2:]))
        self.columns_taken, self.rows_taken = np.arange(weights.channels), np.arange(weights.filters)
        if constants is not None and self.holder is not None:
            share = np.nan_to_num(constants) / constants[self.holder]
            by_row = share.reshape(weights.group, -1).repeat(self.per_group, axis=0)
            self.held = np.einsum("nc...,nc->n...", self.weight, by_row)
            self.weight[by_row != 0] = 0

    @property
    def per_group(self) -> int:
        """Rows of each group."""
        return self.weights.filters // self.weights.group

    def flow(self, node: NodeView) -> tuple[Layout | None, ...]:
        """Give the output channels of its own; those of the input must be known."""
        return (Layout(self.weights.axis, node.identities.fresh(self.weights.filters)),)

    def reads(self, node: NodeView) -> Reads | None:
        """Return what each row reads of its group, and the holder."""
        rows, columns, groups = node.output_layout(), node.layout(0), np.arange(self.weights.group)
        assert rows is not None
        assert columns is not None
        live = np.zeros((groups.size, self.per_group, groups.size, self.weight.shape[1]), bool)
        own = (self.weight != 0).any(axis=tuple(range(2, self.weight.ndim)))
        live[groups, :, groups] = own.reshape(groups.size, self.per_group, -1)
        matrix = live.reshape(self.weights.filters, self.weights.channels)
        if self.holder is not None:
            matrix[:, self.holder] |= self.held.reshape(self.weights.filters, -1).any(axis=1)
        return Reads(rows.ids, columns.ids, matrix)

    def read_by(self, rows: Ids) -> tuple[Places, np.ndarray]:
        """Return the columns that `rows`, of one group, read, and the weight `[rows, columns, *kernel]`."""
        width = self.weight.shape[1]
        own = np.flatnonzero((self.weight[rows] != 0).any(axis=(0, *range(2, self.weight.ndim))))
        columns, weight = own + rows[0] // self.per_group * width, self.weight[rows][:, own]
        if self.holder is None or not self.held[rows].any():
            return columns, weight
        return np.append(columns, self.holder), np.concatenate([weight, self.held[rows][:, None]], axis=1)

    def take(self, node: NodeView, inputs: Sequence[Places | None], outputs: Sequence[Places | None]) -> None:
        """Note what is left: the node is replaced once all shapes are known."""
        del node
        columns, rows = inputs[0], outputs[0]
        assert columns is not None
        assert rows is not None
        self.columns_taken, self.rows_taken = columns, rows


def _holder(weights: Weights, constants: np.ndarray) -> int | None:
    """Return the channel with the largest constant among those that are read."""
    by_group = weights.weight.reshape(weights.group, -1, weights.weight.shape[1], weights.padded.size)
    read = by_group.any(axis=(1, 3)).reshape(-1)
    size = np.where(read, np.abs(np.nan_to_num(constants)), 0)
    return int(size.argmax()) if size.any() else None
