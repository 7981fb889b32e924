"""The forms that shift, split, crop: exact for every layer they admit, and lifted bit for bit."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_models import (
    conv_model,
    ops,
    random_conv,
    smallest_size,
    stripe_convs,
    to_bytes,
    torch_conv,
    weight_shapes,
)

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.metadata import GEOMETRY
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lift, lower
from swp_export.lowerings.shifts import window_of
from swp_export.runtime.session import open_session
from swp_export.stripes import StripeConv

EXACT = 1e-10
FORMS = [name for name in LOWERINGS if name not in {"dense", "pad-slice-add"}]
every_lowering = pytest.mark.parametrize("name", LOWERINGS)
every_form = pytest.mark.parametrize("name", FORMS)
sizes = st.tuples(st.integers(0, 5), st.integers(0, 5))


def lowered(conv: StripeConv, name: str, block: int = 8) -> ir.Model:
    """Return the model of `conv` alone, written by `name`."""
    model = conv_model(conv)
    lower(model, lambda _: name, block=block)
    return model


def error(conv: StripeConv, model: ir.Model, *, batch: int, size: tuple[int, int]) -> float:
    """Return how far `model` is from PyTorch's convolution in float64; infinite where the shapes differ."""
    x = np.random.default_rng(7).normal(size=(batch, conv.channels, *size))
    truth, found = torch_conv(conv, x), Float64Model(model).run(x)["y"]
    return float(np.abs(truth - found).max()) if truth.shape == found.shape else np.inf


def fitted(conv: StripeConv, name: str) -> StripeConv:
    """Return `conv` with stripes killed, or for a split revived, so that lowering `name` admits it more often."""
    if name == "shift":
        return one_stripe_each(conv, 0)
    if name.startswith("split") and conv.filters > 1:
        weight = conv.weight.copy()
        weight[-1] = np.random.default_rng(1).normal(size=weight.shape[1:])
        weight[0] = 0
        weight[0, :, -1, 0] = 1
        return dataclasses.replace(conv, weight=weight)
    return conv


def one_stripe_each(conv: StripeConv, seed: int) -> StripeConv:
    """Return `conv` with at most one live stripe per filter."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((conv.filters, *conv.kernel), bool)
    for filter_ in range(conv.filters):
        mask[filter_, rng.integers(conv.kernel[0]), rng.integers(conv.kernel[1])] = True
    return dataclasses.replace(conv, weight=conv.weight * mask[:, None])


def wide_conv(filters: int, seed: int = 0, **geometry: tuple[int, ...]) -> StripeConv:
    """Return a layer in which some filters have no stripe, most have one, some several and some all."""
    rng = np.random.default_rng(seed)
    mask = rng.random((filters, 3, 3)) < rng.choice([0.0, 0.11, 0.11, 0.3, 1.0], size=(filters, 1, 1))
    mask[5] = True
    mask[[0, 9]] = False
    mask[[9, 11], [2, 1], [0, 1]] = True
    return random_conv(mask, channels=5, seed=seed, **geometry)


class TestExact:
    """The oracle is torch.nn.functional.conv2d in float64."""

    @every_form
    @settings(max_examples=80)
    @given(conv=stripe_convs(), extra=sizes, batch=st.integers(1, 3), block=st.sampled_from([1, 4, 8]))
    def test_any_layer(self, name: str, conv: StripeConv, extra: tuple[int, int], batch: int, block: int) -> None:
        """Any skeleton, kernel, stride, pads, dilation, batch, block and size, down to the smallest legal one."""
        conv = fitted(conv, name)
        assume(LOWERINGS[name].refuse(conv) is None)
        height, width = smallest_size(conv)
        model = lowered(conv, name, block)
        assert error(conv, model, batch=batch, size=(height, width)) < EXACT
        assert error(conv, model, batch=1, size=(height + extra[0], width + extra[1])) < EXACT

    @every_form
    @pytest.mark.parametrize("filters", [16, 24, 27])
    @pytest.mark.parametrize("geometry", [{"pads": (1, 1, 1, 1)}, {"strides": (2, 1), "dilations": (1, 2)}])
    def test_many_filters(self, name: str, filters: int, geometry: dict[str, tuple[int, ...]]) -> None:
        """Enough filters for several groups, a multiple of the block or not, in float64 and in ONNX Runtime."""
        conv = wide_conv(filters, **geometry)
        if name == "shift":
            conv = one_stripe_each(conv, 3)
        model = lowered(conv, name)
        assert error(conv, model, batch=2, size=(7, 9)) < EXACT
        single = dataclasses.replace(conv, weight=conv.weight.astype(np.float32), bias=conv.bias.astype(np.float32))
        content = to_bytes(lowered(single, name))
        onnx.checker.check_model(content, full_check=True)
        x = np.random.default_rng(3).normal(size=(2, conv.channels, 9, 8)).astype(np.float32)
        truth = torch_conv(single, x.astype(np.float64))
        assert np.abs(open_session(content).run({"x": x})["y"] - truth).max() <= 1e-5 * np.abs(truth).max()

    @every_form
    def test_oracle_sees_a_stripe_at_the_next_tap(self, name: str) -> None:
        """A weight moved to a neighbouring tap leaves the tolerance: the tests above prove something."""
        conv = wide_conv(16, pads=(1, 1, 1, 1))
        if name == "shift":
            conv = one_stripe_each(conv, 3)
        moved = dataclasses.replace(conv, weight=np.roll(conv.weight, 1, axis=3))
        assert error(conv, lowered(moved, name), batch=1, size=(6, 6)) > 1e-3


class TestLift:
    """The way back needs only what the nodes say of themselves."""

    @every_lowering
    @settings(max_examples=40)
    @given(conv=stripe_convs())
    def test_any_layer(self, name: str, conv: StripeConv) -> None:
        """Weight, bias and geometry come back bit for bit."""
        conv = fitted(conv, name)
        assume(LOWERINGS[name].refuse(conv) is None)
        self.check(conv, name)

    @every_lowering
    @pytest.mark.parametrize("filters", [16, 27])
    def test_many_filters(self, name: str, filters: int) -> None:
        """So do those of a layer in several groups."""
        conv = wide_conv(filters, pads=(1, 1, 1, 1))
        self.check(one_stripe_each(conv, 3) if name == "shift" else conv, name)

    def check(self, conv: StripeConv, name: str) -> None:
        """Lower, lift, compare every field."""
        model = lift(lowered(conv, name))
        ((_, lifted),) = iterate_stripe_convs(model.graph)
        assert ops(model) == ["Conv"]
        for field in dataclasses.fields(StripeConv):
            before, after = getattr(conv, field.name), getattr(lifted, field.name)
            assert np.array_equal(before, after), field.name

    @every_form
    @pytest.mark.parametrize("damage", ["{}", "[", '{"stripes": [0]}'])
    def test_damaged_metadata(self, name: str, damage: str) -> None:
        """Metadata that do not fit the weights are one clear error of ours."""
        conv = wide_conv(16, pads=(1, 1, 1, 1))
        model = lowered(one_stripe_each(conv, 3) if name == "shift" else conv, name)
        for node in model.graph:
            if GEOMETRY in node.metadata_props:
                node.metadata_props[GEOMETRY] = damage
        with pytest.raises(ModelError, match="metadata is damaged"):
            lift(model)


class TestForm:
    """What the forms are made of."""

    def test_shift_sum_is_three_convolutions(self) -> None:
        """1x1, depthwise, 1x1; the rows fill a block."""
        conv = wide_conv(16, pads=(1, 1, 1, 1))
        model = lowered(conv, "shift-sum")
        assert ops(model) == ["Conv"] * 3
        rows = array_of(model.graph[0].inputs[1])
        assert rows is not None
        assert rows.shape[0] % 8 == 0
        assert 0 <= rows.shape[0] - conv.skeleton.live_stripes < 8

    def test_shift_is_two(self) -> None:
        """1x1 and depthwise, a row for each filter."""
        model = lowered(one_stripe_each(wide_conv(13), 1), "shift")
        assert ops(model) == ["Conv"] * 2

    def test_shift_refuses_a_second_stripe(self) -> None:
        """It has no sum, and says so."""
        conv = random_conv(np.ones((2, 1, 3), bool))
        assert LOWERINGS["shift"].refuse(conv) == "a filter has 3 live stripes, more than one"

    def test_levels_of_two_stripes_are_four_convolutions(self) -> None:
        """The second stripes are added to the first ones, without a sum."""
        mask = np.zeros((16, 9), bool)
        mask[:, [0, 2]] = True
        model = lowered(random_conv(mask.reshape(16, 3, 3), channels=64, pads=(1, 1, 1, 1)), "levels(10)")
        assert ops(model) == ["Conv", "Conv", "Conv", "Conv", "Add"]

    def test_levels_sum_in_groups(self) -> None:
        """In the order that it asks for, each group has about as many stripes, here two blocks of them."""
        counts = np.array([5] * 8 + [3] * 8 + [1] * 32)
        mask = np.arange(9) < counts[:, None]
        conv = random_conv(mask.reshape(48, 3, 3), channels=64, pads=(1, 1, 1, 1))
        order = LOWERINGS["levels(640)"].order
        assert order is not None
        places = order(conv, 8)
        model = lowered(dataclasses.replace(conv, weight=conv.weight[places], bias=conv.bias[places]), "levels(640)")
        groups = [node.attributes["group"].as_int() for node in model.graph if "group" in node.attributes]
        assert groups == [96, 6]

    def test_levels_shift_nothing_at_the_centre(self) -> None:
        """Second stripes at the centre are added by the 1x1 Conv itself."""
        mask = np.zeros((16, 9), bool)
        mask[:, [0, 4]] = True
        model = lowered(random_conv(mask.reshape(16, 3, 3), channels=64, pads=(1, 1, 1, 1)), "levels(10)")
        assert ops(model) == ["Conv", "Conv", "Conv", "Add"]

    @pytest.mark.parametrize("name", [name for name in FORMS if name.startswith("split")])
    def test_split_refuses_what_is_on_one_side(self, name: str) -> None:
        """Where all filters have as many stripes there is nothing to split."""
        for live in (1, 9):
            mask = np.zeros((8, 9), bool)
            mask[:, :live] = True
            refusal = LOWERINGS[name].refuse(random_conv(mask.reshape(8, 3, 3)))
            assert refusal is not None
            assert "nothing to split" in refusal

    @pytest.mark.parametrize("name", [name for name in FORMS if name.startswith("split")])
    @pytest.mark.parametrize("block", [4, 8, 16])
    def test_split_fills_its_last_block_with_filters(self, name: str, block: int) -> None:
        """Not with zeros, where all filters fill blocks; and what it ordered falls into the same groups."""
        mask = one_stripe_each(random_conv(np.ones((48, 3, 3), bool)), 0).skeleton.mask.copy()
        mask[np.random.default_rng(0).permutation(48)[:13]] = True
        order = LOWERINGS[name].order
        assert order is not None
        assert np.array_equal(np.sort(order(random_conv(mask), block)), np.arange(48))
        for conv in (random_conv(mask), *(wide_conv(48, seed) for seed in range(5))):
            places = order(conv, block)
            weight, bias = conv.weight[places], conv.bias[places]
            weight[places < 0], bias[places < 0] = 0, 0
            ordered = dataclasses.replace(conv, weight=weight, bias=bias)
            assert "Gather" not in ops(lowered(ordered, name, block))

    def test_window_drops_what_the_pads_allow(self) -> None:
        """Only the lower right 2x2 taps live: the kernel loses a row and a column with the pads that they read."""
        mask = np.zeros((4, 3, 3), bool)
        mask[:, 1:, 1:] = True
        conv = random_conv(mask, pads=(1, 1, 1, 1))
        found = window_of(conv, conv.skeleton.live_taps)
        assert (found.first, found.kernel, found.pads) == ((1, 1), (2, 2), (0, 0, 1, 1))

    def test_window_keeps_what_the_pads_do_not_allow(self) -> None:
        """Without pads a dropped row would need a crop, so it stays."""
        mask = np.zeros((4, 3, 3), bool)
        mask[:, 1, 1] = True
        assert window_of(random_conv(mask), [(1, 1)]).kernel == (3, 3)

    @every_form
    def test_centre_only_is_one_convolution(self, name: str) -> None:
        """A layer whose live taps are one, with pads to drop the others, shifts nothing."""
        mask = np.zeros((8, 3, 3), bool)
        mask[:, 1, 1] = True
        conv = random_conv(mask, pads=(1, 1, 1, 1))
        if LOWERINGS[name].refuse(conv) is None and name != "shift-chunks":
            assert ops(lowered(conv, name)) == ["Conv"]

    @pytest.mark.parametrize("name", [name for name in LOWERINGS if not LOWERINGS[name].permutes])
    @pytest.mark.parametrize("filters", [24, 27])
    def test_nothing_is_permuted(self, name: str, filters: int) -> None:
        """These need no order of the filters: no Gather, whatever the layer."""
        conv = wide_conv(filters)
        if LOWERINGS[name].refuse(conv) is None and name != "pad-slice-add":
            assert set(ops(lowered(conv, name))) <= {"Conv", "Add", "Concat"}


def test_cropped_writes_each_window_once() -> None:
    """Filters of one row, of one column and of all taps are three Convs, each of the smallest window that holds it."""
    mask = np.zeros((24, 3, 3), bool)
    mask[:8, 0], mask[8:16, :, 0], mask[16:] = True, True, True
    model = lowered(random_conv(mask, channels=4, pads=(2, 2, 2, 2)), "cropped")
    assert sorted(weight_shapes(model)) == [[8, 4, 1, 3], [8, 4, 3, 1], [8, 4, 3, 3]]


def test_chunks_fill_one_block() -> None:
    """Rows of zeros fill the last block of stripes, and nothing beyond."""
    mask = np.zeros((5, 3, 3), bool)
    mask[:, 0, 0] = mask[:3, 1, 1] = True
    model = lowered(random_conv(mask, pads=(1, 1, 1, 1)), "shift-chunks", block=16)
    assert weight_shapes(model) == [[16, 3, 1, 1], [16, 1, 2, 2]]
