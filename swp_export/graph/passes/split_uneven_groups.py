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
- Constants that the bias cannot take, since the kernel sees padding, are read by every group from one and the same
  channel: see `GroupsApart`.

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
from swp_export.graph.constants import array_of, register_initializer, unique_name, value_names
from swp_export.graph.convolutions import layer_name
from swp_export.graph.metadata import PART_OF
from swp_export.graph.operators.node_view import taken
from swp_export.graph.operators.rules.groups_apart import GroupsApart
from swp_export.graph.operators.table import weighted, weights_of
from swp_export.graph.passes.order_channels import free_channels, moved_places
from swp_export.graph.passes.remove_dead_channels import needed_channels
from swp_export.graph.passes.take_channels import take_channels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swp_export.graph.operators.identities import Ids
    from swp_export.graph.operators.node_view import Places

LEAST_GAIN = 0.03
"""Of the floats of the convolution and of what its channels cost elsewhere: less is not worth copying its maps for."""

_CHANNELS = ir.AttrInt64("axis", 1)


class SplitUnevenGroups(ir.passes.InPlacePass):
    """See the module's docstring. Constants must have been folded before, and dead channels removed."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find what is needed if every group may keep its own number of rows and columns, then take that."""
        graph = model.graph
        rules = _uneven_groups(graph)
        if rules:
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
        names = value_names(graph)
        for node, rule in rules.items():
            _Writer(node, names).replace(rule, classes[node])
        return ir.passes.PassResult(model, modified=True)


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

    def __init__(self, graph: ir.Graph, rules: Mapping[ir.Node, GroupsApart]) -> None:
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
        after += int(self._elsewhere[both[self.needed[both]]].sum()) + np.count_nonzero(self.needed[rows])
        return bool(before - after > LEAST_GAIN * before)

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
    rule: GroupsApart, needed_columns: np.ndarray, needed_rows: np.ndarray, row_cost: float
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


def _uneven_groups(graph: ir.Graph) -> dict[ir.Node, GroupsApart]:
    """Return the convolutions with more than one row or column in a group, each with its rule."""
    found = {node: weights for node in graph if (weights := weights_of(node)) is not None and weights.group > 1}
    found = {node: w for node, w in found.items() if w.weight.shape[1] > 1 or w.filters > w.group}
    if not found:
        return {}
    channels, constants = Channels(graph), constant_channels(graph)
    rules = {}
    for node, weights in found.items():
        source = node.inputs[0]
        if source is not None and None not in (source.shape, node.outputs[0].shape) and channels.follows(node):
            rules[node] = GroupsApart(weights, constants.get(source))
    return rules


class _Writer:
    """Writes nodes before `node`, which they are to replace, with names that are not `taken`."""

    def __init__(self, node: ir.Node, taken: set[str]) -> None:
        assert isinstance(node.graph, ir.Graph)
        self._node, self._graph, self._taken = node, node.graph, taken

    def replace(self, rule: GroupsApart, classes: Sequence[_Class]) -> None:
        """Write a convolution for each class; the channels of the graph have been taken."""
        node, graph = self._node, self._graph
        now = {before: place for place, before in enumerate(rule.columns_taken.tolist())}
        parts = [
            self._convolution(rule, each, [now[column] for column in each.columns.tolist()], str(number))
            for number, each in enumerate(classes)
        ]
        written = np.concatenate([each.rows for each in classes])
        whole = parts[0]
        if len(parts) > 1:
            whole = self._op("Concat", parts, [_CHANNELS], "all_groups", node.outputs[0], written.size)
        if not np.array_equal(written, rule.rows_taken):
            at = {before: place for place, before in enumerate(written.tolist())}
            whole = self._gathered(whole, [at[row] for row in rule.rows_taken.tolist()], "rows")
        old = node.outputs[0]
        name, old.name = old.name, None
        whole.name = name
        ir.convenience.replace_all_uses_with(old, whole, replace_graph_outputs=True)
        graph.remove(node, safe=True)

    def _convolution(self, rule: GroupsApart, part: _Class, columns: list[int], number: str) -> ir.Value:
        node, weighted_rule, bias = self._node, weighted(self._node), rule.weights.bias
        assert weighted_rule is not None
        inputs = [self._gathered(node.inputs[0], columns, f"columns{number}")]
        for constant, what in zip(node.inputs[1:], ("weight", "bias"), strict=False):
            if constant is not None:  # its own, to be replaced under its name
                inputs.append(self._constant(array_of(constant), f"groups{number}.{what}"))
        value = self._op(
            node.op_type, inputs, list(node.attributes.values()), f"groups{number}", node.outputs[0], part.rows.size
        )
        producer = value.producer()
        assert producer is not None
        producer.metadata_props[PART_OF] = layer_name(node)
        weighted_rule.replace(producer, part.weight, None if bias is None else taken(bias, part.rows), part.groups)
        return value

    def _gathered(self, source: ir.Value | None, indices: list[int], what: str) -> ir.Value:
        """Return the channels `indices` of `source`; itself where those are all of its."""
        assert source is not None
        assert source.shape is not None
        if source.shape[1] == len(indices) and indices == list(range(len(indices))):
            return source
        chosen = self._constant(np.array(indices, np.int64), f"{what}.indices")
        return self._op("Gather", [source, chosen], [_CHANNELS], what, source, len(indices))

    def _constant(self, array: np.ndarray | None, what: str) -> ir.Value:
        assert array is not None
        return register_initializer(self._graph, self._unique(what), array)

    def _op(
        self,
        operator: str,
        inputs: Sequence[ir.Value],
        attributes: Sequence[ir.Attr],
        what: str,
        like: ir.Value,
        channels: int,
    ) -> ir.Value:
        """Return what a new node gives: of the type and shape of `like`, but for the number of its channels."""
        name = self._unique(what)
        added = ir.Node("", operator, inputs, attributes, name=name)
        (value,) = added.outputs
        value.name, value.type = name, like.type
        assert like.shape is not None
        sizes = list(like.shape)
        sizes[1] = channels
        value.shape = ir.Shape(sizes)
        self._graph.insert_before(self._node, added)
        return value

    def _unique(self, what: str) -> str:
        return unique_name(f"{self._node.name or self._node.outputs[0].name}/{what}", self._taken)
