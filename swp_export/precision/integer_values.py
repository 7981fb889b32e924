"""Which values of a model become integers once some of its layers compute in int8, and which must share their numbers.

A convolution of such a layer computes in integers; what only moves integers (a pool, a Concat) keeps them. A Relu
behind a convolution or an Add is part of it: what lies between is no value of its own.

Values that are moved into one another have one scale and one zero point. What a one-hot depthwise convolution shifts
keeps its scale, so that a product with 127 at scale 1/127 moves it exactly; where it adds a bias too, the zero point
may be another.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.constants import array_of
from swp_export.graph.metadata import LAYER
from swp_export.graph.operators.naming import operator_of

if TYPE_CHECKING:
    from collections.abc import Collection

    import onnx_ir as ir

MOVES = frozenset(["MaxPool", "Relu", "Slice", "Split", "Concat"])
"""What passes integers on as they are."""
BETWEEN = frozenset(["MaxPool", "Relu", "Concat", "Add"])
"""What passes them on between layers too: behind others, as before a classifier, floats follow."""
FOLDS = frozenset(["Conv", "Add"])
"""What a Relu behind it is part of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntegerValues:
    """What is found of one model.

    Attributes:
        convs: the convolutions that compute in int8, in order.
        paired: values that are rounded to integers, in order: a QuantizeLinear and a DequantizeLinear follow them.
        alike: of each of `paired` the first one that it shares scale and zero point with; itself where there is none.
        scaled: of each of `paired` the first one that it shares its scale with.
        rows: those of `paired` that a one-hot convolution shifts.

    """

    convs: tuple[ir.Node, ...]
    paired: tuple[ir.Value, ...]
    alike: dict[ir.Value, ir.Value]
    scaled: dict[ir.Value, ir.Value]
    rows: frozenset[ir.Value]


def integer_values(graph: ir.Graph, layers: Collection[str]) -> IntegerValues:
    """Find what becomes integers in `graph` if the convolutions of `layers` do."""
    integers: set[ir.Value] = set()
    convs, paired = [], []
    alike, scaled = _Sets(), _Sets()
    rows = set()
    for node in graph:
        op, given = operator_of(node), [v for v in node.inputs if v is not None and array_of(v) is None]
        if op == "Conv" and node.metadata_props.get(LAYER) in layers and array_of(node.inputs[1]) is not None:
            convs.append(node)
            paired += [value for value in given if value not in integers]
            integers |= set(given)
        elif not _passes(node, op, layers, [value in integers for value in given]):
            continue
        integers |= set(node.outputs)
        paired += [value for value in node.outputs if not _is_folded(value)]
        if op == "Conv" and is_shift(node):
            before, after = given[0], _behind_relu(node.outputs[0])
            rows.add(before)
            scaled.join(before, after)
            if len(node.inputs) < 3 and after is node.outputs[0]:
                alike.join(before, after)
        elif op in MOVES and not any(_is_folded(value) for value in given):
            for value in (*given[1:], *node.outputs):
                alike.join(given[0], value)
                scaled.join(given[0], value)
    order = {value: index for index, value in enumerate(dict.fromkeys(paired))}
    return IntegerValues(
        convs=tuple(convs),
        paired=tuple(order),
        alike={value: alike.first(value, order) for value in order},
        scaled={value: scaled.first(value, order) for value in order},
        rows=frozenset(rows),
    )


def is_shift(conv: ir.Node) -> bool:
    """Tell whether `conv` is depthwise and has at most one 1 in each kernel, and 0 elsewhere."""
    weight = array_of(conv.inputs[1])
    if weight is None or weight.ndim != 4 or weight.shape[1] != 1 or len(weight) != conv.attributes.get_int("group", 1):
        return False
    if len(weight) == 1 and weight.shape[2:] == (1, 1):
        return False
    taps = weight.reshape(len(weight), -1)
    return bool(np.isin(taps, (0, 1)).all() and (taps.sum(axis=1) <= 1).all())


def _passes(node: ir.Node, op: str, layers: Collection[str], are_integers: list[bool]) -> bool:
    """Tell whether `node` gives integers where its inputs that are not stored are integers."""
    passing = BETWEEN | MOVES if node.metadata_props.get(LAYER) in layers else BETWEEN
    return op in passing and bool(are_integers) and all(are_integers) and (op != "Add" or len(are_integers) == 2)


def _is_folded(value: ir.Value) -> bool:
    """Tell whether `value` lies between a convolution or an Add and the Relu that is part of it."""
    return _behind_relu(value) is not value


def _behind_relu(value: ir.Value) -> ir.Value:
    producer, uses = value.producer(), value.uses()
    if producer is None or operator_of(producer) not in FOLDS or len(uses) != 1 or value.is_graph_output():
        return value
    reader = next(iter(uses)).node
    return reader.outputs[0] if operator_of(reader) == "Relu" else value


class _Sets:
    """Values that belong together, by whatever way."""

    def __init__(self) -> None:
        self._members: dict[ir.Value, set[ir.Value]] = {}

    def join(self, a: ir.Value, b: ir.Value) -> None:
        both = self._members.get(a, {a}) | self._members.get(b, {b})
        for value in both:
            self._members[value] = both

    def first(self, value: ir.Value, order: dict[ir.Value, int]) -> ir.Value:
        """Return the first of those that `value` belongs with, of those that have a place in `order`."""
        return min((v for v in self._members.get(value, {value}) if v in order), key=order.__getitem__)
