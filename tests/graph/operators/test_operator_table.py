"""One test over all rows of the table: what each says of channels is true of what it computes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from swp_export.graph.analysis.channels import rule_of
from swp_export.graph.analysis.constant_channels import evaluation
from swp_export.graph.float64.execution import compute
from swp_export.graph.operators.fixed_maps import FixedMaps, Space
from swp_export.graph.operators.identities import Identities
from swp_export.graph.operators.node_view import Layout, NodeView, Pins, taken
from swp_export.graph.operators.operator import Example, Tensor
from swp_export.graph.operators.rules.elementwise import Elementwise
from swp_export.graph.operators.table import OPERATORS
from swp_export.graph.passes.order_channels import is_whole, moved_places

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET = 18
"""The opset that the passes work on."""
EXAMPLES = [
    pytest.param(operator, example, id=f"{operator}-{number}")
    for operator, row in OPERATORS.items()
    for number, example in enumerate(row.examples)
    if example.since <= max(OPSET, example.since) and example.until >= OPSET
]
RUNNING = [param for param in EXAMPLES if param.values[1].pins is None]
PINNED = [param for param in EXAMPLES if param.values[1].pins is not None]


@dataclasses.dataclass(kw_only=True)
class Case:
    """An example as a node in a graph, and arrays for what it computes with."""

    node: ir.Node
    view: NodeView
    identities: Identities
    feeds: list[np.ndarray | None]
    flow: tuple[Layout | None, ...] | Pins


def build(operator: str, example: Example, seed: int = 0) -> Case:
    """Return the node of `example`, with the shapes of its outputs known, as they are in a normalised model."""
    rng, opset = np.random.default_rng(seed), max(OPSET, example.since)
    values: list[ir.Value | None] = []
    feeds: list[np.ndarray | None] = []
    layouts, identities = dict[ir.Value, Layout](), Identities()
    for number, given in enumerate(example.inputs):
        if given is None:
            values.append(None)
            feeds.append(None)
        elif isinstance(given, Tensor):
            feeds.append(random_of(given, rng))
            value = ir.Value(name=f"x{number}", shape=ir.Shape(given.shape), type=ir.TensorType(ir.DataType.FLOAT))
            if given.axis is not None:
                layouts[value] = Layout(given.axis, identities.fresh(given.shape[given.axis]))
            values.append(value)
        else:
            array = np.asarray(given)
            feeds.append(array)
            tensor = ir.tensor(array, name=f"c{number}")
            values.append(ir.Value(name=f"c{number}", shape=ir.Shape(array.shape), const_value=tensor))
    attributes = ir.convenience.convert_attributes(
        {k: ir.tensor(v) if isinstance(v, np.ndarray) else v for k, v in example.attributes.items()}
    )
    node = ir.Node("", operator, values, attributes, num_outputs=example.outputs, name="n")
    for number, output in enumerate(node.outputs):
        output.name = f"y{number}"
    computed = [value for value in values if value is not None and value.const_value is None]
    stored = [value for value in values if value is not None and value.const_value is not None]
    graph = ir.Graph(computed, list(node.outputs), nodes=[node], initializers=stored, opset_imports={"": opset})
    for output, array in zip(node.outputs, outputs_of(node, feeds), strict=True):
        output.shape = ir.Shape(array.shape)
    assert graph[0] is node
    view = NodeView(node, layouts, identities)
    flow = rule_of(node).flow(view)
    if not isinstance(flow, Pins):
        layouts.update((v, layout) for v, layout in zip(node.outputs, flow, strict=True) if layout is not None)
    return Case(node=node, view=view, identities=identities, feeds=feeds, flow=flow)


def random_of(tensor: Tensor, rng: np.random.Generator) -> np.ndarray:
    """Return random elements."""
    if tensor.dtype == "float32":
        return rng.uniform(tensor.low, tensor.high, tensor.shape)
    low, high = (0, 2) if tensor.dtype == "bool" else (0, 3)
    return rng.integers(low, high, tensor.shape).astype(tensor.dtype)


def outputs_of(node: ir.Node, feeds: Sequence[np.ndarray | None]) -> Sequence[np.ndarray]:
    """Run the node in float64."""
    assert node.graph is not None
    return compute(node, node.graph.opset_imports, feeds)


def places_of(case: Case, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Return where each channel of inputs (by index) and outputs (-1 - index) was, some of them dropped.

    Channels of one identity go together; what is written in the table of the node says which those are.
    """
    layouts = {index: case.view.layout(index) for index in range(len(case.node.inputs))}
    layouts |= {-1 - index: case.view.output_layout(index) for index in range(len(case.node.outputs))}
    known = {index: layout for index, layout in layouts.items() if layout is not None}
    everything = np.unique(np.concatenate([layout.ids for layout in known.values()]))
    everything = np.setdiff1d(everything, case.identities.pinned())
    if not everything.size:
        pytest.skip("every channel must stay")
    dropped = rng.choice(everything, max(1, everything.size // 3), replace=False)
    for layout in known.values():  # no tensor may lose all
        if np.isin(layout.ids, dropped).all():
            dropped = dropped[dropped != layout.ids[0]]
    return {index: np.flatnonzero(~np.isin(layout.ids, dropped)) for index, layout in known.items()}


def test_every_row_has_examples() -> None:
    """A row without examples is not believed, nor one whose examples the passes' opset never meets."""
    assert [operator for operator, row in OPERATORS.items() if not row.examples] == []


@pytest.mark.parametrize(("operator", "example"), PINNED)
def test_what_cannot_be_told_pins_with_a_reason(operator: str, example: Example) -> None:
    """A setting whose channels cannot be followed keeps them all, and says why."""
    flow = build(operator, example).flow
    assert isinstance(flow, Pins)
    assert example.pins is not None
    assert example.pins in flow.reason


@pytest.mark.parametrize(("operator", "example"), RUNNING)
def test_layouts_fit_the_outputs(operator: str, example: Example) -> None:
    """Each output has as many channels along its axis as is said."""
    case = build(operator, example)
    assert not isinstance(case.flow, Pins), case.flow
    for output, layout in zip(case.node.outputs, case.flow, strict=True):
        if layout is not None:
            assert output.shape is not None
            assert output.shape[layout.axis] == layout.ids.size


@pytest.mark.parametrize(("operator", "example"), RUNNING)
def test_removing_channels_is_exact(operator: str, example: Example) -> None:
    """Without some channels, which nothing that is left reads, the others are what they were."""
    case, rng = build(operator, example), np.random.default_rng(1)
    if all(case.view.layout(index) is None for index in range(len(case.node.inputs))):
        pytest.skip("reads no channels")
    before = outputs_of(case.node, case.feeds)
    places = places_of(case, rng)
    reads = rule_of(case.node).reads(case.view)
    if reads is not None:  # a column may go where each row that is left reads it times zero
        rows = np.isin(np.arange(reads.rows.size), places.get(-1, np.arange(reads.rows.size)))
        places[0] = np.union1d(places[0], np.flatnonzero(reads.weight[rows].any(axis=0)))
    check_taken(case, places, before)


@pytest.mark.parametrize(("operator", "example"), RUNNING)
def test_permuting_and_filling_is_exact(operator: str, example: Example) -> None:
    """In another order, with new channels of zeros between them, all are what they were, and nothing is no number."""
    case, rng = build(operator, example), np.random.default_rng(4)
    layouts = {index: case.view.layout(index) for index in range(len(case.node.inputs))}
    layouts |= {-1 - index: case.view.output_layout(index) for index in range(len(case.node.outputs))}
    known = {index: layout.ids for index, layout in layouts.items() if layout is not None}
    orders: dict[int, tuple[int, np.ndarray]] = {}
    for ids in known.values():
        own = np.array_equal(ids, ids[0] + np.arange(ids.size)) and not np.isin(ids, case.identities.pinned()).any()
        if own and ids.size > 1 and all(is_whole(others, ids) for others in known.values()):
            order = np.insert(rng.permutation(ids), 2, -1)
            orders[int(ids[0])] = ids.size, np.append(order, -1)
    if not orders or not rule_of(case.node).stays_finite(case.view, evaluation(case.node)):
        pytest.skip("has no channels of its own to move, or may divide by new ones")
    before = outputs_of(case.node, case.feeds)
    check_taken(case, {index: moved_places(ids, orders) for index, ids in known.items()}, before)


@pytest.mark.parametrize(("operator", "example"), RUNNING)
def test_claimed_constants_are_true(operator: str, example: Example) -> None:
    """Where some channels hold a constant, the output's channels hold what is claimed, and all those that can."""
    case, rng = build(operator, example, seed=2), np.random.default_rng(3)
    known: list[np.ndarray | None] = []
    for index, feed in enumerate(case.feeds):
        layout = case.view.layout(index)
        if layout is None or feed is None or feed.dtype.kind != "f":
            known.append(None)
            continue
        given = example.inputs[index]
        assert isinstance(given, Tensor)
        values = rng.uniform(given.low, given.high, layout.ids.size)
        values[rng.random(layout.ids.size) < 0.3] = min(max(0.0, given.low), given.high)
        values[::3] = np.nan
        flat = np.moveaxis(feed, layout.axis, 0)
        for channel, value in enumerate(values):
            if not np.isnan(value):
                flat[channel] = value
        known.append(values)
    results = outputs_of(case.node, case.feeds)
    claimed = rule_of(case.node).constants(case.view, known, evaluation(case.node))
    for number, (values, result) in enumerate(zip(claimed, results, strict=True)):
        layout = case.view.output_layout(number)
        if values is None or layout is None:
            continue
        flat = np.moveaxis(result.astype(np.float64), layout.axis, 0).reshape(layout.ids.size, -1)
        if isinstance(rule_of(case.node), Elementwise) and decided(case, known):
            assert not np.isnan(values[1::3]).any(), "every operand is known there"
        for channel in np.flatnonzero(~np.isnan(values)):
            assert np.abs(flat[channel] - values[channel]).max() < 1e-9, (channel, values[channel])


@pytest.mark.parametrize("kinds", [True, False])
@pytest.mark.parametrize(("operator", "example"), RUNNING)
def test_claimed_fixed_maps_are_true(operator: str, example: Example, *, kinds: bool) -> None:
    """Where some channels are sums of a few fixed maps, the output's are the sums that are claimed, of other ones.

    Those other maps need not be told: the claim is true if the same few maps explain all channels that are claimed.
    """
    case, rng = build(operator, example, seed=2), np.random.default_rng(5)
    space = Space(np.ones(3) if kinds else np.array([0.0, 0.0, 1.0]), kinds=kinds)
    known: list[FixedMaps | None] = []
    basis: np.ndarray | None = None
    for index, feed in enumerate(case.feeds):
        layout, given = case.view.layout(index), example.inputs[index]
        if layout is None or feed is None or not isinstance(given, Tensor) or feed.dtype.kind != "f":
            known.append(None)
            continue
        values = rng.uniform(given.low, given.high, (layout.ids.size, 3))
        values[::3] = np.nan
        flat = np.moveaxis(feed, layout.axis, 0)
        if basis is None:
            basis = fixed_basis(flat.shape[1:], layout.axis, rng, kinds=kinds)
        if flat.shape[1:] != basis.shape[1:]:  # a smaller map of the same kinds is constant
            values = values[:, :1] * space.ones
        maps = basis if flat.shape[1:] == basis.shape[1:] else np.eye(3)[-1].reshape(-1, *[1] * (flat.ndim - 1))
        for channel in np.flatnonzero(~np.isnan(values[:, 0])):
            flat[channel] = np.tensordot(values[channel], maps, 1)
        known.append(FixedMaps(space, values))
    results = outputs_of(case.node, case.feeds)
    claimed = rule_of(case.node).fixed_maps(case.view, known, evaluation(case.node))
    for number, (maps, result) in enumerate(zip(claimed, results, strict=True)):
        layout = case.view.output_layout(number)
        if maps is None or layout is None or not maps.fixed().any():
            continue
        flat = np.moveaxis(result.astype(np.float64), layout.axis, 0).reshape(layout.ids.size, -1)[maps.fixed()]
        told, ones = maps.values[maps.fixed()], np.ones((1, flat.shape[1]))
        found = np.linalg.lstsq(np.vstack([told, maps.space.ones]), np.vstack([flat, ones]), rcond=None)[0]
        assert np.abs(told @ found - flat).max() < 1e-9
        assert np.abs(maps.space.ones @ found - 1).max() < 1e-9
        if maps.space.kinds and np.linalg.matrix_rank(told) == maps.space.size:
            assert np.abs(np.sort(found, axis=0) - np.eye(maps.space.size)[-1][:, None]).max() < 1e-9


def fixed_basis(shape: Sequence[int], axis: int, rng: np.random.Generator, *, kinds: bool) -> np.ndarray:
    """Return three maps `[3, *shape]`, the same for each image: kinds of places, or any two beside ones."""
    alike = (1, *shape[1:]) if axis > 0 else shape
    if kinds:
        maps = (rng.integers(0, 3, alike) == np.arange(3).reshape(-1, *[1] * len(alike))).astype(np.float64)
    else:
        maps = np.stack([rng.normal(size=alike), rng.normal(size=alike), np.ones(alike)])
    return np.broadcast_to(maps, (3, *shape))


def decided(case: Case, known: Sequence[np.ndarray | None]) -> bool:
    """Tell whether what is not known of an example is those channels alone, every third."""
    return all(
        value is None or (np.size(feed) in {1, 6} if value.const_value is not None else k is not None and k.size == 6)
        for value, feed, k in zip(case.node.inputs, case.feeds, known, strict=True)
    )


def check_taken(case: Case, places: dict[int, np.ndarray], before: Sequence[np.ndarray]) -> None:
    """Take `places`, run again, and compare what is left of each output."""
    inputs = [places.get(index) for index in range(len(case.node.inputs))]
    outputs = [places.get(-1 - index) for index in range(len(case.node.outputs))]
    axes = [case.view.layout(index) for index in range(len(inputs))]
    given = [case.view.output_layout(index) for index in range(len(outputs))]
    was = [None if value is None else value.const_value for value in case.node.inputs]
    rule_of(case.node).take(case.view, inputs, outputs)
    feeds: list[np.ndarray | None] = []
    for index, feed in enumerate(case.feeds):
        layout, chosen = axes[index], inputs[index]
        value = case.node.inputs[index]
        if value is not None and value.const_value is not None:
            feeds.append(value.const_value.numpy())
        elif layout is None or chosen is None or feed is None:
            feeds.append(feed)
        else:
            feeds.append(taken(feed, chosen, layout.axis))
    feeds += [v.const_value.numpy() for v in case.node.inputs[len(feeds) :] if v is not None and v.const_value]
    assert len(was) <= len(case.node.inputs)
    after = outputs_of(case.node, feeds)
    for old, new, layout, chosen in zip(before, after, given, outputs, strict=True):
        if layout is None or chosen is None:
            continue
        moved = np.moveaxis(new, layout.axis, 0)
        kept = np.flatnonzero(chosen >= 0)
        assert moved.shape[0] == chosen.size
        np.testing.assert_allclose(
            moved[kept].astype(np.float64),
            np.moveaxis(old, layout.axis, 0)[chosen[kept]].astype(np.float64),
            rtol=1e-12,
            atol=1e-12,
        )
        assert np.isfinite(moved.astype(np.float64)).all()
