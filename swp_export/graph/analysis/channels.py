"""Which channels of a graph's tensors are one and the same.

Removing a channel must remove it from every tensor that carries it: a Relu's output has the channels of its input, an
Add forces those of both operands onto each other, a Concat lines them up, a Flatten repeats each one. The rows of the
table of operators say so; here they are asked, node by node. What an operator reads that is not in the table, or that
cannot be told of it, is pinned: never removed. So are the channels of the network's outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.graph.operators.identities import Identities
from swp_export.graph.operators.node_view import Layout, NodeView, Pins, label_of
from swp_export.graph.operators.operator import ChannelRule
from swp_export.graph.operators.table import operator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import onnx_ir as ir

    from swp_export.graph.operators.identities import Ids

_UNKNOWN = ChannelRule("is no operator that is known here")


class Channels:
    """The channels of every tensor of `graph`; see the module's docstring.

    Args:
        graph: to follow.
        rules: of nodes that are to be followed by another rule than the table's.

    """

    def __init__(self, graph: ir.Graph, rules: Mapping[ir.Node, ChannelRule] | None = None) -> None:
        self._rules = rules or {}
        self._identities = Identities()
        self._layouts: dict[ir.Value, Layout] = {}
        self._followed: set[ir.Node] = set()
        self._refused: dict[ir.Node, str] = {}
        for node in graph:
            self._visit(node)
        self._pin(graph.outputs, "the network gives them as output")

    def __len__(self) -> int:
        """Upper bound of the integers that stand for channels."""
        return len(self._identities)

    def layout(self, value: ir.Value | None) -> Layout | None:
        """Return which axis of `value` counts its channels, and which they are; None where they are not known."""
        layout = None if value is None else self._layouts.get(value)
        return None if layout is None else Layout(layout.axis, self._identities.roots(layout.ids))

    def of(self, value: ir.Value | None) -> Ids | None:
        """Return the channels of `value`, int64 `[C]`, or None where they are not known."""
        layout = self.layout(value)
        return None if layout is None else layout.ids

    def layouts(self) -> Iterator[tuple[ir.Value, Layout]]:
        """Yield every value whose channels are known, with them."""
        for value, layout in self._layouts.items():
            yield value, Layout(layout.axis, self._identities.roots(layout.ids))

    def follows(self, node: ir.Node) -> bool:
        """Tell whether the channels of `node`'s outputs follow from those of its inputs."""
        return node in self._followed

    def rule(self, node: ir.Node) -> ChannelRule:
        """Return how `node` treats channels here."""
        return self._rules.get(node) or rule_of(node)

    def why_not_followed(self, node: ir.Node) -> str:
        """Return why the channels of the outputs of `node`, which is not followed, are not known."""
        return self._refused[node]

    def view(self, node: ir.Node) -> NodeView:
        """Return `node` as the rules of the table see it."""
        return NodeView(node, self._layouts, self._identities)

    def pinned(self) -> Ids:
        """Return the channels that must stay, int64."""
        return self._identities.pinned()

    def reasons(self) -> dict[int, str]:
        """Return why each channel that must stay has to."""
        return self._identities.reasons()

    def _visit(self, node: ir.Node) -> None:
        view = self.view(node)
        flow = self.rule(node).flow(view)
        if isinstance(flow, Pins):
            self._refused[node] = f"{label_of(node)} {flow.reason}"
            for index in range(len(node.inputs)):
                view.pin(index, flow.reason)
        else:
            self._followed.add(node)
            self._layouts.update(
                (value, layout) for value, layout in zip(node.outputs, flow, strict=True) if layout is not None
            )
        self._pin(list(_captured(node)), f"{label_of(node)} reads them in a graph of its own")

    def _pin(self, values: Sequence[ir.Value], reason: str) -> None:
        for value in values:
            if value in self._layouts:
                self._identities.pin(self._layouts[value].ids, reason)


def rule_of(node: ir.Node) -> ChannelRule:
    """Return how `node` treats channels."""
    row = operator(node)
    return _UNKNOWN if row is None else row.channels


def _captured(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what the subgraphs of an If, Loop or Scan read, values of the graph around it among them."""
    for attribute in node.attributes.values():
        if attribute.type.name == "GRAPH":
            subgraph = attribute.as_graph()
            yield from subgraph.outputs
            for inner in subgraph:
                yield from (value for value in inner.inputs if value is not None)
                yield from _captured(inner)
