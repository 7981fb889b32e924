r"""Write a grouped convolution whose groups are unevenly live as several, one for each class of groups.

ONNX's groups are of one size, so `RemoveDeadChannels` takes whole groups or nothing. Here each group keeps the columns
that a needed row of it reads, and the rows that something reads, and groups of about one size share a convolution:

    Conv group = 32 [128, 4, 3, 3]   ->   Gather -> Conv group = 9  [27, 3, 3, 3]  \
                                          Gather -> Conv group = 15 [30, 3, 3, 3]  -> Concat
                                          Gather -> Conv group = 8  [16, 2, 3, 3]  /

- A Gather copies no more than a Split would, needs no order of the channels in front, and may name a channel twice: a
  group with fewer columns than its class names one of its own again, with a weight of zero.
- A group with fewer rows than its class has rows of zeros. Where the channels behind are free to order they come as the
  Concat has them; else a Gather puts them back as they were and drops the rows of zeros.
- Columns k that hold constants c_k (not taken into the bias: the kernel sees padding) are multiples of one map, so one
  channel h, the one with the largest |c|, is read by every group in their place: W'[o, h] = sum of W[o, k] * c_k / c_h.

`group_classes` chooses the classes. A convolution whose groups are all alive, or that would save less than LEAST_GAIN,
stays as it is.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from swp_export.graph.analysis.channels import Channels
from swp_export.graph.analysis.constant_channels import constant_channels
from swp_export.graph.analysis.group_classes import group_classes
from swp_export.graph.constants import add_initializer, unique_name, value_names
from swp_export.graph.operators.node_view import Layout, taken
from swp_export.graph.operators.operator import ChannelRule, Reads
from swp_export.graph.operators.table import weighted, weights_of
from swp_export.graph.passes.order_channels import free_channels, moved_places
from swp_export.graph.passes.remove_dead_channels import needed_channels
from swp_export.graph.passes.take_channels import take_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import NodeView, Places
    from swp_export.graph.operators.weights import Weights

LEAST_GAIN = 0.03
"""Of the floats of the convolution and of what its channels cost elsewhere: less is not worth copying its maps for."""


class SplitUnevenGroups(ir.passes.InPlacePass):
    """See the module's docstring. Constants must have been folded before, and dead channels removed."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find what is needed if every group may keep its own number of rows and columns, then take that."""
        graph = model.graph
        rules = _uneven_groups(graph)
        plan = _Plan(graph, rules)
        rules = {node: rule for node, rule in rules.items() if plan.is_worth_it(node)}
        if not rules:
            return ir.passes.PassResult(model, modified=False)
        plan = _Plan(graph, rules)
        free = {nodes[0]: ids for nodes, ids in free_channels(graph, plan.channels, rules) if len(nodes) == 1}
        classes = {node: plan.classes(node, is_free=node in free)[1] for node in rules}
        orders: dict[int, tuple[int, Places]] = {}
        for node, ids in free.items():
            order = np.concatenate([each.rows for each in classes[node]])
            orders[int(ids[0])] = ids.size, np.where(order >= 0, ids[order], -1)

        def places(ids: Ids) -> Places:
            moved = moved_places(ids, orders)
            kept: Places = moved[(moved < 0) | plan.needed[ids[moved]]]
            return kept

        take_channels(graph, plan.channels, places)
        for node, rule in rules.items():
            _write(node, rule, classes[node])
        return ir.passes.PassResult(model, modified=True)


class _GroupsApart(ChannelRule):
    """A grouped convolution of which every row and every column may go alone.

    Attributes:
        weight: `[N, C / group, *kernel]`, float64, zero where a column holds a constant.
        holder: the channel of the input that stands for all constants; None where there are none.
        held: `[N, *kernel]`, float64: what is read of it.
        columns_taken, rows_taken: where the channels that are left were.

    """

    def __init__(self, weights: Weights, constants: np.ndarray | None) -> None:
        super().__init__()
        self.weights, self.holder = weights, None if constants is None else _holder(weights, constants)
        self.weight = weights.weight.astype(np.float64)
        self.held = np.zeros((weights.filters, *self.weight.shape[2:]))
        self.columns_taken, self.rows_taken = np.arange(weights.channels), np.arange(weights.filters)
        if constants is not None and self.holder is not None:
            value = np.nan_to_num(constants) / constants[self.holder]
            shared = value.reshape(weights.group, -1).repeat(self.per_group, axis=0)
            self.held = np.einsum("nc...,nc->n...", self.weight, shared)
            self.weight[shared != 0] = 0

    @property
    def per_group(self) -> int:
        """Rows of each group."""
        return self.weights.filters // self.weights.group

    def flow(self, node: NodeView) -> tuple[Layout | None, ...]:
        """Give the output channels of its own."""
        return (Layout(self.weights.axis, node.identities.fresh(self.weights.filters)),)

    def reads(self, node: NodeView) -> Reads | None:
        """Return what each row reads of its group, and the holder."""
        rows, columns = node.output_layout(), node.layout(0)
        assert rows is not None
        assert columns is not None
        live = np.zeros((self.weights.group, self.per_group, self.weights.group, self.weight.shape[1]), bool)
        own = (self.weight != 0).any(axis=tuple(range(2, self.weight.ndim)))
        group = np.arange(self.weights.group)
        live[group, :, group] = own.reshape(self.weights.group, self.per_group, -1)
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
        """Note what is left; `_write` needs the shapes that are only known behind it."""
        del node
        columns, rows = inputs[0], outputs[0]
        assert columns is not None
        assert rows is not None
        self.columns_taken, self.rows_taken = columns, rows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Class:
    """Groups that share a convolution; all by the channels of before.

    Attributes:
        groups: how many.
        columns: int64 `[groups * columns of each]`, of the input; a column that fills up is one that is read already.
        rows: int64 `[groups * rows of each]`, of the output; -1 fills up.
        weight: `[rows, columns of each, *kernel]`.

    """

    groups: int
    columns: Places
    rows: Places
    weight: np.ndarray


class _Plan:
    """What is needed of `graph` if `rules` are those of its grouped convolutions, and how they are written then."""

    def __init__(self, graph: ir.Graph, rules: Mapping[ir.Node, _GroupsApart]) -> None:
        self._rules = rules
        self.channels = Channels(graph, rules)
        self.needed = needed_channels(graph, self.channels)
        self._elsewhere = np.zeros(len(self.channels), np.int64)
        for node in graph:
            self._count(node)

    def classes(self, node: ir.Node, *, is_free: bool) -> tuple[float, list[_Class]]:
        """Return the cost of the best classes, and them; `is_free`: rows of zeros reach the readers of `node`."""
        columns, rows = self._ids(node)
        row_cost = 1 + (self._elsewhere[rows].max() if is_free else 0)
        return _best_classes(self._rules[node], self.needed[columns], self.needed[rows], row_cost)

    def is_worth_it(self, node: ir.Node) -> bool:
        """Tell whether the classes save enough of what the convolution and its channels cost as they are."""
        columns, rows = self._ids(node)
        after, _ = self.classes(node, is_free=True)
        weights, both = self._rules[node].weights, np.concatenate([columns, rows])
        before = weights.weight.size + weights.filters + int(self._elsewhere[both].sum())
        after += int(self._elsewhere[both[self.needed[both]]].sum())
        return before - after > LEAST_GAIN * before

    def _ids(self, node: ir.Node) -> tuple[Ids, Ids]:
        columns, rows = self.channels.of(node.inputs[0]), self.channels.of(node.outputs[0])
        assert columns is not None
        assert rows is not None
        return columns, rows

    def _count(self, node: ir.Node) -> None:
        """Add what each channel costs at `node`, a convolution or product without groups."""
        weights = weights_of(node) if self.channels.follows(node) else None
        reads = (
            None if weights is None or weights.group > 1 else self.channels.rule(node).reads(self.channels.view(node))
        )
        if weights is None or reads is None:
            return
        columns = int(self.needed[reads.columns].sum()) or weights.channels
        np.add.at(self._elsewhere, reads.rows, columns * weights.padded.size + 1)
        np.add.at(self._elsewhere, reads.columns, int(self.needed[reads.rows].sum()) * weights.padded.size)


def _best_classes(
    rule: _GroupsApart, needed_columns: np.ndarray, needed_rows: np.ndarray, row_cost: float
) -> tuple[float, list[_Class]]:
    """Return the cost of the best classes, and them; both arguments bool by channel."""
    rows = [np.flatnonzero(part) + g * rule.per_group for g, part in enumerate(needed_rows.reshape(-1, rule.per_group))]
    rows = [each for each in rows if each.size]
    weights = [rule.read_by(each) for each in rows]
    sizes = np.array([(max(columns.size, 1), each.size) for (columns, _), each in zip(weights, rows, strict=True)])
    cost, groups = group_classes(sizes, rule.weights.padded.size, row_cost)
    spare = int(np.flatnonzero(needed_columns)[0])
    return cost, [_joined([rows[g] for g in each], [weights[g] for g in each], spare) for each in groups]


def _joined(rows: Sequence[Places], read: Sequence[tuple[Places, np.ndarray]], spare: int) -> _Class:
    """Return the class of groups with these `rows`, of which each reads columns with a weight.

    `spare` is a column for those that read none.
    """
    height, width = max(each.size for each in rows), max(1, *(columns.size for columns, _ in read))
    kernel = read[0][1].shape[2:]
    weight = np.zeros((len(rows), height, width, *kernel))
    filled = np.full((len(rows), height), -1)
    columns = np.full((len(rows), width), spare)
    for number, (of_rows, (of_columns, values)) in enumerate(zip(rows, read, strict=True)):
        weight[number, : of_rows.size, : of_columns.size] = values
        filled[number, : of_rows.size] = of_rows
        columns[number] = np.resize(of_columns, width) if of_columns.size else spare
    return _Class(
        groups=len(rows),
        columns=columns.reshape(-1),
        rows=filled.reshape(-1),
        weight=weight.reshape(-1, width, *kernel),
    )


def _uneven_groups(graph: ir.Graph) -> dict[ir.Node, _GroupsApart]:
    """Return the convolutions with more than one row or column in a group, each with its rule."""
    found = {node: weights for node in graph if (weights := weights_of(node)) is not None and weights.group > 1}
    found = {node: w for node, w in found.items() if w.weight.shape[1] > 1 or w.filters > w.group}
    if not found:
        return {}
    channels, constants = Channels(graph), constant_channels(graph)
    sources = {node: node.inputs[0] for node in found if channels.follows(node)}
    return {
        node: _GroupsApart(found[node], constants.get(source)) for node, source in sources.items() if source is not None
    }


def _holder(weights: Weights, constants: np.ndarray) -> int | None:
    """Return the channel with the largest constant among those that are read."""
    per_group = weights.weight.reshape(weights.group, weights.filters // weights.group, weights.weight.shape[1], -1)
    read = per_group.any(axis=(1, 3)).reshape(-1)
    size = np.where(read, np.abs(np.nan_to_num(constants)), 0)
    return int(size.argmax()) if size.any() else None


def _write(node: ir.Node, rule: _GroupsApart, classes: Sequence[_Class]) -> None:
    """Replace `node`, whose channels have been taken, by a convolution for each class."""
    graph, old, weighted_rule, axis = node.graph, node.outputs[0], weighted(node), rule.weights.axis
    assert isinstance(graph, ir.Graph)
    assert weighted_rule is not None
    now = {before: place for place, before in enumerate(rule.columns_taken.tolist())}
    parts = list[ir.Value]()
    for number, each in enumerate(classes):
        source = _gathered(node, node.inputs[0], [now[k] for k in each.columns.tolist()], axis, f"columns{number}")
        part = _added(node, node.op_type, [source, *node.inputs[1:]], list(node.attributes.values()), f"groups{number}")
        producer = part.producer()
        assert producer is not None
        bias = rule.weights.bias
        weighted_rule.replace(producer, each.weight, None if bias is None else taken(bias, each.rows), each.groups)
        part.shape = _resized(old, axis, each.rows.size)
        parts.append(part)
    whole = parts[0] if len(parts) == 1 else _added(node, "Concat", parts, [ir.AttrInt64("axis", axis)], "all_groups")
    written = np.concatenate([each.rows for each in classes])
    whole.shape = _resized(old, axis, written.size)
    if not np.array_equal(written, rule.rows_taken):
        at = {before: place for place, before in enumerate(written.tolist())}
        whole = _gathered(node, whole, [at[row] for row in rule.rows_taken.tolist()], axis, "rows")
    name, old.name = old.name, None
    whole.name = name
    ir.convenience.replace_all_uses_with(old, whole, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _gathered(node: ir.Node, source: ir.Value | None, indices: list[int], axis: int, what: str) -> ir.Value:
    """Return the channels `indices` of `source`, before `node`; itself where those are all of its."""
    assert source is not None
    assert source.shape is not None
    if indices == list(range(size)) if isinstance(size := source.shape[axis], int) else False:
        return source
    assert isinstance(node.graph, ir.Graph)
    chosen = add_initializer(node.graph, f"{node.name or node.outputs[0].name}/{what}", np.array(indices, np.int64))
    value = _added(node, "Gather", [source, chosen], [ir.AttrInt64("axis", axis)], what)
    value.shape = _resized(source, axis, len(indices))
    return value


def _added(
    node: ir.Node, operator: str, inputs: Sequence[ir.Value | None], attributes: Sequence[ir.Attr], what: str
) -> ir.Value:
    """Return what a new node, before `node` and of its type, gives."""
    assert isinstance(node.graph, ir.Graph)
    name = unique_name(f"{node.name or node.outputs[0].name}/{what}", value_names(node.graph))
    added = ir.Node("", operator, inputs, attributes, name=name)
    value = added.outputs[0]
    value.name, value.type = name, node.outputs[0].type
    node.graph.insert_before(node, added)
    return value


def _resized(value: ir.Value, axis: int, size: int) -> ir.Shape | None:
    """Return the shape of `value` with another number of channels."""
    if value.shape is None:
        return None
    sizes = list(value.shape)
    sizes[axis] = size
    return ir.Shape(sizes)
