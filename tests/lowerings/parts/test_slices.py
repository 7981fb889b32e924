"""The counted cost of a layer's slices: what is chosen is the cheapest, and what is counted is what is written."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import conv_model, ops, random_conv

from swp_export.graph.builder import LayerBuilder
from swp_export.graph.constants import array_of
from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.slices import (
    ACCUMULATE,
    CONCAT,
    WRITE,
    Layout,
    Slice,
    cheapest_order,
    cheapest_slices,
    shift_cost,
)
from swp_export.lowerings.sliced_ellpack import NODE_PRICES, emit_slice

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv

BLOCK = 8
EVERY_PRICE = pytest.mark.parametrize("price", NODE_PRICES)
SEEDS = pytest.mark.parametrize("seed", range(4))


def layer(seed: int, filters: int = 40) -> StripeConv:
    """Return a layer whose filters keep no stripe, one, several or all."""
    rng = np.random.default_rng(seed)
    mask = rng.random((filters, 3, 3)) < rng.choice([0.05, 0.11, 0.11, 0.3, 1.0], size=(filters, 1, 1))
    return random_conv(mask, channels=16, seed=seed, pads=(1, 1, 1, 1))


@SEEDS
@EVERY_PRICE
def test_no_other_slices_are_cheaper(seed: int, price: int) -> None:
    """Every way to cut the filters into slices is tried by hand."""
    layout = Layout.of(layer(seed))
    blocks = len(layout.taps) // BLOCK
    costs = []
    for cuts in itertools.chain.from_iterable(itertools.combinations(range(1, blocks), n) for n in range(blocks)):
        edges = [0, *cuts, blocks]
        parts = [layout.taps[a * BLOCK : b * BLOCK] for a, b in itertools.pairwise(edges)]
        # A part by itself may be cut again, which only finds again what another choice of cuts finds.
        alone = [cheapest_slices(dataclasses.replace(layout, taps=taps), BLOCK, price) for taps in parts]
        if all(len(slices.slices) == 1 for slices in alone):
            joined = CONCAT * len(layout.taps) + price if cuts else 0
            costs.append(sum(slices.cost for slices in alone) + joined)
    assert cheapest_slices(layout, BLOCK, price).cost == pytest.approx(min(costs))


def written_cost(conv: StripeConv, slice_: Slice, price: int) -> float:
    """Return what the nodes cost that are written for `slice_`, by their shapes."""
    x = ir.Value(name="x")
    builder = LayerBuilder(ir.Graph([x], [], nodes=[]), "layer", BLOCK)
    emit_slice(builder, x, conv, slice_)
    cost = 0.0
    for node in builder.nodes:
        if node.op_type == "Add":
            cost += ACCUMULATE * (slice_.stop - slice_.start)
            continue
        weight = array_of(node.inputs[1])
        assert weight is not None
        filters, channels, *kernel = weight.shape
        depthwise = channels == 1
        row = shift_cost((kernel[0], kernel[1])) if depthwise else channels * kernel[0] * kernel[1] + WRITE
        cost += filters * row + price
    return cost


@SEEDS
@EVERY_PRICE
def test_no_other_form_of_a_slice_is_cheaper(seed: int, price: int) -> None:
    """A slice costs what is written for it; no other number of columns or groups would write less."""
    conv = layer(seed)
    counts = conv.skeleton.stripes_per_filter
    for slice_ in cheapest_slices(Layout.of(conv), BLOCK, price).slices:
        most, blocks = int(counts[slice_.start : slice_.stop].max()), (slice_.stop - slice_.start) // BLOCK
        forms = [(0, 0), *([(most, 0)] if most else [])]
        forms += [(n, groups) for n in range(most) for groups in range(1, blocks + 1) if blocks % groups == 0]
        costs = [
            written_cost(conv, dataclasses.replace(slice_, width=width, groups=groups), price)
            for width, groups in forms
        ]
        assert slice_.cost == pytest.approx(written_cost(conv, slice_, price))
        assert slice_.cost == pytest.approx(min(costs))


@SEEDS
@EVERY_PRICE
def test_nodes_are_priced_as_they_are_written(seed: int, price: int) -> None:
    """A slightly higher price raises the cost by the number of nodes; the Adds are the runtime's to fuse."""
    conv = layer(seed)
    layout = Layout.of(conv)
    lower_cost, higher_cost = (cheapest_slices(layout, BLOCK, p).cost for p in (price, price + 1e-6))
    model = conv_model(conv)
    lower(model, lambda _: f"sliced-ellpack({price})", multiple=BLOCK)
    nodes = [op for op in ops(model) if op != "Add"]
    assert (higher_cost - lower_cost) / 1e-6 == pytest.approx(len(nodes), abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_dear_nodes_are_few(seed: int) -> None:
    """The higher the price, the fewer nodes."""
    counts = []
    for price in NODE_PRICES:
        model = conv_model(layer(seed))
        lower(model, lambda _, price=price: f"sliced-ellpack({price})", multiple=BLOCK)  # type: ignore[misc]
        counts.append(len([op for op in ops(model) if op != "Add"]))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), filters=st.integers(1, 40), price=st.sampled_from(NODE_PRICES))
def test_an_order_names_each_filter_once_and_costs_no_more(seed: int, filters: int, price: int) -> None:
    """Filled up to blocks with filters of zeros; as they come, filled up, they are no cheaper."""
    layout = Layout.of(layer(seed, filters))
    as_they_come = (*range(filters), *[-1] * (-filters % BLOCK))
    order = cheapest_order(layout, BLOCK, price)
    assert len(order) % BLOCK == 0
    assert sorted(f for f in order if f >= 0) == list(range(filters))
    slices = cheapest_slices(layout.ordered(order), BLOCK, price)
    assert slices.cost <= cheapest_slices(layout.ordered(as_they_come), BLOCK, price).cost
    assert [(slice_.start, slice_.stop) for slice_ in slices.slices] == [
        *itertools.pairwise([0, *(slice_.stop for slice_ in slices.slices)]),
    ]
    assert all(slice_.stop % BLOCK == 0 for slice_ in slices.slices)


def test_alike_filters_come_together() -> None:
    """Filters with one whole column each, by turns: in the order asked for, three slices over small windows."""
    mask = np.zeros((24, 3, 3), bool)
    mask[np.arange(24), :, np.arange(24) % 3] = True
    layout = Layout.of(random_conv(mask, channels=64, pads=(1, 1, 1, 1)))
    slices = cheapest_slices(layout.ordered(cheapest_order(layout, 8, 10)), 8, 10)
    assert [slice_.stop for slice_ in slices.slices] == [8, 16, 24]
    assert slices.cost < cheapest_slices(layout, 8, 10).cost


def test_a_tile_is_not_cut() -> None:
    """Filters that fill no blocks are one slice: a Concat of others would leave the blocked layout."""
    assert len(cheapest_slices(Layout.of(layer(0, 27)), 8, 10).slices) == 1


def test_a_stride_makes_shifts_dear() -> None:
    """What is shifted is computed at the skipped positions too, so fewer dead stripes are worth it."""
    mask = np.random.default_rng(0).random((64, 3, 3)) < 0.3
    plain, strided = (
        Layout.of(random_conv(mask, channels=64, pads=(1, 1, 1, 1), strides=strides)) for strides in ((1, 1), (2, 2))
    )
    assert any(not slice_.dense for slice_ in cheapest_slices(plain, 16, 10).slices)
    assert all(slice_.dense for slice_ in cheapest_slices(strided, 16, 10).slices)


def test_a_multiple_of_one_is_no_invitation_to_try_everything() -> None:
    """A wide layer is cut into tiles of 8 at least, whatever it is filled up to a multiple of."""
    mask = np.random.default_rng(0).random((256, 3, 3)) < 0.2
    layout = Layout.of(random_conv(mask, channels=4, pads=(1, 1, 1, 1)))
    slices = cheapest_slices(layout.ordered(cheapest_order(layout, 1, 40)), 1, 40)
    assert all(slice_.stop % 8 == 0 for slice_ in slices.slices)
