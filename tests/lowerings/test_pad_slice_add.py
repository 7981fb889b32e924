"""`pad-slice-add`: its order of filters, by stripes, then by first tap; its planes and slices."""

import contextlib
import dataclasses

import numpy as np
import onnx_ir as ir
import pytest
from small_models import conv_model, copied, furthest, ops, random_conv

from swp_export.errors import InputError
from swp_export.graph.constants import array_of
from swp_export.lowerings.lower import lower
from swp_export.lowerings.pad_slice_add import PadSliceAdd

TAPS = (((0, 1), (1, 1)), ((2, 2),), ((0, 1),), ((0, 0), (0, 1)), ((2, 0), (1, 2), (1, 0)), ((0, 1),))
"""The live stripes of six filters."""
EXPECTED = [2, 5, 1, 3, 0, 4]
MASK = np.zeros((6, 3, 3), bool)
for _filter, _taps in enumerate(TAPS):
    for _tap in _taps:
        MASK[_filter][_tap] = True
CONV = random_conv(MASK, pads=(1, 1, 1, 1))


@pytest.mark.parametrize(("multiple", "zeros"), [(1, 0), (2, 0), (4, 2), (8, 2)])
def test_order(multiple: int, zeros: int) -> None:
    """Filters of one stripe come first, those of the first tap before; zeros that fill up a block before all."""
    assert PadSliceAdd().order(CONV, multiple).tolist() == [-1] * zeros + EXPECTED


def test_a_filter_without_stripes_counts_as_one_of_one() -> None:
    """Its constant rides on a row of zeros, which lies among the rows of one stripe."""
    weight = CONV.weight.copy()
    weight[4] = 0
    order = PadSliceAdd().order(dataclasses.replace(CONV, weight=weight), 1).tolist()
    assert sorted(order[:4]) == [1, 2, 4, 5]
    assert order[4:] == [3, 0]


def test_layers_in_that_order_need_no_last_gather() -> None:
    """Written in the order, the sums are the filters; otherwise the last Gather names the place of each filter."""
    ordered = dataclasses.replace(CONV, weight=CONV.weight[EXPECTED], bias=CONV.bias[EXPECTED])
    for conv, places in ((CONV, np.argsort(EXPECTED).tolist()), (ordered, None)):
        model = conv_model(conv)
        lower(model, lambda _: "pad-slice-add", multiple=1)
        last = model.graph[len(model.graph) - 1]
        assert (last.op_type == "Gather") == (places is not None)
        indices = array_of(last.inputs[1]) if last.op_type == "Gather" else None
        assert (None if indices is None else indices.tolist()) == places
    assert "Gather" in ops(model)


def test_filters_of_one_stripe_need_no_sum() -> None:
    """There is one Sum for each number of stripes above one, and none for the filters that kept a single stripe."""
    model = conv_model(CONV)
    lower(model, lambda _: "pad-slice-add", multiple=1)
    assert ops(model).count("Sum") == 2
    single = conv_model(dataclasses.replace(CONV, weight=CONV.weight[[1, 2, 5]], bias=CONV.bias[[1, 2, 5]]))
    lower(single, lambda _: "pad-slice-add", multiple=1)
    assert "Sum" not in ops(single)


def test_computes_kept_positions_only() -> None:
    """At stride 2 each 1x1 convolution runs on a strided plane, of which there are at most four."""
    model = conv_model(random_conv(np.ones((4, 3, 3), bool), strides=(2, 2), pads=(1, 1, 1, 1)))
    lower(model, lambda _: "pad-slice-add")
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    assert len(convolutions) == 4
    for node in convolutions:
        source = node.inputs[0].producer()  # type: ignore[union-attr]
        assert source is not None
        assert source.op_type == "Slice"
        assert array_of(source.inputs[4]).tolist() == [2, 2]  # type: ignore[union-attr]


def test_one_convolution_of_live_stripes_at_stride_1() -> None:
    """At stride 1 there is one 1x1 Conv with one row per live stripe, ordered (i, j, filter)."""
    mask = np.random.default_rng(2).random((4, 3, 3)) < 0.5
    mask[:, 1, 1] = True
    conv = random_conv(mask)
    model = conv_model(conv)
    lower(model, lambda _: "pad-slice-add")
    (node,) = [node for node in model.graph if node.op_type == "Conv"]
    rows = array_of(node.inputs[1])
    expected = [conv.weight[f, :, i, j] for i in range(3) for j in range(3) for f in range(4) if mask[f, i, j]]
    assert np.array_equal(rows[:, :, 0, 0], expected)  # type: ignore[index]


@pytest.mark.parametrize(("constant", "places"), [("conv/by_count_order", [0, -1]), ("conv/tap_1_1_starts", [1, 2])])
def test_no_index_is_idle(constant: str, places: list[int]) -> None:
    """Two channels of a Gather swapped, or the start of a Slice: the layer computes something else, or nothing."""
    model = conv_model(CONV)
    lower(model, lambda _: "pad-slice-add")
    before, x = copied(model), np.random.default_rng(7).normal(size=(1, 3, 6, 6))
    value = model.graph.initializers[constant]
    array = np.array(array_of(value))
    array[places] = array[places[::-1]] + (constant == "conv/tap_1_1_starts")
    value.const_value = ir.tensor(array, name=value.name)
    with contextlib.suppress(InputError):  # the shapes no longer fit each other
        assert furthest(before, model, x) > 1e-3
