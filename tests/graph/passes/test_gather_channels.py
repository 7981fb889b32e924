"""Weights read selections of channels where that saves floats, and the function stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_ir.passes.common import RemoveUnusedNodesPass
from small_models import PADS, copied, furthest, marked, model_from_text, ops, weight_shapes, weights

from swp_export.graph.passes import gather_channels
from swp_export.graph.passes.gather_channels import GatherChannels
from swp_export.graph.passes.order_channels import free_layers
from swp_export.graph.passes.remove_dead_channels import RemoveDeadChannels, needed_channels
from swp_export.graph.pipeline import compact

if TYPE_CHECKING:
    from swp_export.graph.analysis.channels import Channels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 128, 5, 4))
CHANNELS = 40
DEAD = (0, 3, *range(5, 20))
UNSEEN = (4, 20, 21)


def gathered(before: ir.Model) -> ir.Model:
    """Return the model after the pass and what it makes possible, once it is known to compute the same."""
    after = copied(before)
    for step in (GatherChannels(), RemoveUnusedNodesPass(), RemoveDeadChannels()):
        after = step(after).model
    assert furthest(before, after, X) < 1e-9
    onnx.checker.check_model(ir.to_proto(after))
    return after


def gated(
    *,
    operator: str = "Conv",
    settings: str = PADS,
    kernel: tuple[int, int] = (3, 3),
    per_channel: int = 1,
    seed: int = 0,
) -> ir.Model:
    """Return an inverted residual whose depthwise channels are all needed: an image's own gate scales each."""
    rng, wide = np.random.default_rng(seed), CHANNELS * per_channel
    k = rng.normal(size=(CHANNELS, per_channel, *kernel)) if operator == "ConvTranspose" else None
    k = rng.normal(size=(wide, 1, *kernel)) if k is None else k
    k.reshape(CHANNELS, -1)[list(UNSEEN)] = 0
    return marked(
        model_from_text(
            f"h = Conv (x, w, b) r = Relu (h) d = {operator} <group = {CHANNELS}, {settings}> (r, k, c)"
            " p = GlobalAveragePool (x) g = Conv (p, e) s = Mul (d, g) y = Conv (s, v)",
            x="double[N, 128, 5, 4] x",
            w=weights(rng, CHANNELS, 128, 1, 1, dead=DEAD),
            b=rng.normal(size=CHANNELS),
            k=k,
            c=rng.normal(size=wide),
            e=rng.normal(size=(wide, 128, 1, 1)),
            v=rng.normal(size=(3, wide, 1, 1)),
        )
    )


def test_constants_into_a_depthwise_convolution_need_one_row() -> None:
    """Filters of zeros before a depthwise convolution go but for one, as do those that its zero filters read."""
    after = gathered(gated())
    assert ops(after)[2] == "Gather"
    assert weight_shapes(after)[0] == [CHANNELS - len(DEAD) - len(UNSEEN) + 1, 128, 1, 1]
    assert weight_shapes(after)[1] == [CHANNELS, 1, 3, 3]


@settings(max_examples=25)
@given(
    operator=st.sampled_from(["Conv", "ConvTranspose"]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    per_channel=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_geometry(
    operator: str,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, ...],
    per_channel: int,
    seed: int,
) -> None:
    """Scaled filters on the one constant give what each constant gave, whatever kernel, stride, padding, multiplier."""
    if operator == "ConvTranspose":  # so that something is left of a map of 5x4
        pads = tuple(min(pad, (size - 1) // 2) for pad, size in zip(pads, (*kernel, *kernel), strict=True))
    attributes = f"strides = {[*strides]}, pads = {[*pads]}"
    before = gated(operator=operator, settings=attributes, kernel=kernel, per_channel=per_channel, seed=seed)
    assert "Gather" in ops(gathered(before))


def test_a_wrong_share_would_show() -> None:
    """The filters are scaled: with the constant of the holder in their place the function would be another."""
    after = gathered(gated())
    node = after.graph[3]
    weight = np.array(ir.convenience.get_const_tensor(node.inputs[1]).numpy())
    weight[DEAD[-1]] *= 1.001
    after.graph.initializers[node.inputs[1].name].const_value = ir.tensor(weight, name=node.inputs[1].name)
    assert furthest(gated(), after, X) > 1e-6


def test_zero_filters_alone_read_a_channel_that_is_there() -> None:
    """Without any constant, what zero filters read is any channel: none is kept for them."""
    before = gated()
    weight = RNG.normal(size=(CHANNELS, 128, 1, 1))
    k = np.array(before.graph.initializers["k"].const_value.numpy())
    k[list(range(20))] = 0
    for name, array in (("w", weight), ("k", k)):
        before.graph.initializers[name].const_value = ir.tensor(array, name=name)
    assert weight_shapes(gathered(before))[0] == [CHANNELS - 22, 128, 1, 1]


def test_columns_of_zeros_behind_a_trunk() -> None:
    """A layer that reads few channels of a trunk, which others need, gets those alone."""
    v = RNG.normal(size=(80, 128, 1, 1))
    v[:, 30:] = 0
    before = marked(
        model_from_text(
            "t = Conv (x, i) h = Conv (t, v) r = Relu (h) z = Conv (r, u) y = Add (z, t)",
            x="double[N, 128, 5, 4] x",
            i=RNG.normal(size=(128, 128, 1, 1)),
            v=v,
            u=RNG.normal(size=(128, 80, 1, 1)),
        )
    )
    after = gathered(before)
    assert ops(after) == ["Conv", "Gather", "Conv", "Relu", "Conv", "Add"]
    assert weight_shapes(after)[1] == [80, 30, 1, 1]


@pytest.mark.parametrize("filters", [4, 80])
def test_a_copy_that_costs_more_than_it_saves_is_not_written(filters: int) -> None:
    """Few rows, or few columns of zeros, do not pay for the copy of a map; nothing changes then."""
    v = RNG.normal(size=(filters, 128, 1, 1))
    v[:, (30 if filters == 4 else 120) :] = 0
    before = model_from_text(
        "t = Conv (x, i) y = Conv (t, v)", x="double[N, 128, 5, 4] x", i=RNG.normal(size=(128, 128, 1, 1)), v=v
    )
    result = GatherChannels()(copied(before))
    assert not result.modified
    assert ir.to_proto(result.model) == ir.to_proto(before)


def test_an_attempt_that_does_not_pay_leaves_no_trace() -> None:
    """Where the constants' channels have other readers, nothing is saved, and the node reads what it read."""
    before = model_from_text(
        f"h = Conv (x, w, b) r = Relu (h) d = Conv <group = {CHANNELS}, {PADS}> (r, k) y = Add (d, r)",
        x="double[N, 128, 5, 4] x",
        w=weights(RNG, CHANNELS, 128, 1, 1, dead=DEAD),
        b=RNG.normal(size=CHANNELS),
        k=RNG.normal(size=(CHANNELS, 1, 3, 3)),
    )
    result = GatherChannels()(copied(before))
    assert not result.modified
    assert ir.to_proto(result.model) == ir.to_proto(before)


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
def test_what_one_saves_pays_for_no_other(names: tuple[str, str]) -> None:
    """A Gather that saves much is written alone, and not one that saves nothing, whichever comes first."""
    pays = "h{0} = Conv (x, w, b) r{0} = Relu (h{0}) d{0} = Conv <group = 40, PADS> (r{0}, k) y{0} = Neg (d{0})"
    other = pays.replace("Neg (d{0})", "Add (d{0}, r{0})")
    first, second = (pays, other) if names == ("a", "z") else (other, pays)
    before = model_from_text(
        f"{first.format('a')} {second.format('z')}".replace("PADS", PADS),
        x="double[N, 128, 5, 4] x",
        y="double[N, 40, 5, 4] ya, double[N, 40, 5, 4] yz",
        w=weights(RNG, CHANNELS, 128, 1, 1, dead=DEAD),
        b=np.abs(RNG.normal(size=CHANNELS)) + 0.1,
        k=RNG.normal(size=(CHANNELS, 1, 3, 3)),
    )
    after = gathered(before)
    assert [node.inputs[0].name for node in after.graph if node.op_type == "Gather"] == [f"r{names[0]}"]


@pytest.mark.parametrize("blocks", [1, 4])
def test_a_deep_network_is_followed_as_often_as_a_shallow_one(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many depthwise convolutions there are, what they save is found at once."""
    gate = "p{0} = GlobalAveragePool (x) g{0} = Conv (p{0}, e) s{0} = Mul (d{0}, g{0}) y{0} = Conv (s{0}, v)"
    block = (
        f"h{{0}} = Conv (x, w, b) r{{0}} = Relu (h{{0}}) d{{0}} = Conv <group = {CHANNELS}, {PADS}> (r{{0}}, k) {gate}"
    )
    rng = np.random.default_rng(0)
    before = marked(
        model_from_text(
            " ".join(block.format(number) for number in range(blocks)),
            x="double[N, 128, 5, 4] x",
            y=", ".join(f"double[N, 3, 5, 4] y{number}" for number in range(blocks)),
            w=weights(rng, CHANNELS, 128, 1, 1, dead=DEAD),
            b=np.abs(rng.normal(size=CHANNELS)) + 0.1,
            k=rng.normal(size=(CHANNELS, 1, 3, 3)),
            e=rng.normal(size=(CHANNELS, 128, 1, 1)),
            v=rng.normal(size=(3, CHANNELS, 1, 1)),
        )
    )
    followed = []

    def counted(graph: ir.Graph, channels: Channels) -> np.ndarray:
        followed.append(graph)
        return needed_channels(graph, channels)

    monkeypatch.setattr(gather_channels, "needed_channels", counted)
    assert GatherChannels()(before).modified
    assert ops(before).count("Gather") == blocks
    assert len(followed) == 1


def test_two_that_read_one_channel_save_nothing_each() -> None:
    """A channel that two depthwise convolutions read stays for the other one: neither Gather is written."""
    before = model_from_text(
        f"h = Conv (x, w, b) r = Relu (h) d = Conv <group = {CHANNELS}, {PADS}> (r, k)"
        f" e = Conv <group = {CHANNELS}, {PADS}> (r, k) y = Mul (d, e)",
        x="double[N, 128, 5, 4] x",
        w=weights(RNG, CHANNELS, 128, 1, 1, dead=DEAD),
        b=np.abs(RNG.normal(size=CHANNELS)) + 0.1,
        k=RNG.normal(size=(CHANNELS, 1, 3, 3)),
    )
    assert not GatherChannels()(copied(before)).modified


def test_a_gate_reads_no_constants() -> None:
    """The squeeze of a gate reads the pooled channels that vary, and those few that tell the borders of all others."""
    rng = np.random.default_rng(3)
    before = marked(
        model_from_text(
            f"h = Conv (x, w, b) d = Conv <group = {CHANNELS}, {PADS}> (h, k) a = Sigmoid (d) p = GlobalAveragePool (a)"
            " q = Conv (p, f) t = Relu (q) g = Conv (t, e) s = Mul (a, g) y = Conv (s, v)",
            x="double[N, 128, 2, 2] x",
            w=weights(rng, CHANNELS, 128, 1, 1, dead=DEAD),
            b=rng.normal(size=CHANNELS),
            k=rng.normal(size=(CHANNELS, 1, 3, 3)),
            f=rng.normal(size=(12, CHANNELS, 1, 1)),
            e=rng.normal(size=(CHANNELS, 12, 1, 1)),
            v=rng.normal(size=(3, CHANNELS, 1, 1)),
        )
    )
    after = compact(copied(before))
    assert furthest(before, after, rng.normal(size=(2, 128, 2, 2))) < 1e-9
    assert ops(after).count("Gather") == 2
    assert weight_shapes(after)[2] == [12, CHANNELS - len(DEAD) + 3, 1, 1]


def test_the_rows_before_stay_free_to_order() -> None:
    """A Gather has channels of its own, so that the layer before it can be ordered and filled."""
    assert "conv0" in free_layers(gathered(gated()).graph)
