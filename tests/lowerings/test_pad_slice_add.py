"""The order of filters in the portable form: by stripes, then by first tap."""

import dataclasses

import numpy as np
import pytest
from small_models import conv_model, ops, random_conv

from swp_export.graph.constants import array_of
from swp_export.lowerings import pad_slice_add
from swp_export.lowerings.lower import lower

TAPS = (((0, 1), (1, 1)), ((2, 2),), ((0, 1),), ((0, 0), (0, 1)), ((2, 0), (1, 2), (1, 0)), ((0, 1),))
"""The live stripes of six filters."""
EXPECTED = [2, 5, 1, 3, 0, 4]
MASK = np.zeros((6, 3, 3), bool)
for _filter, _taps in enumerate(TAPS):
    for _tap in _taps:
        MASK[_filter][_tap] = True
CONV = random_conv(MASK, pads=(1, 1, 1, 1))


@pytest.mark.parametrize(("block", "zeros"), [(1, 0), (2, 0), (4, 2), (8, 2)])
def test_order(block: int, zeros: int) -> None:
    """Filters of one stripe come first, those of the first tap before; zeros that fill up a block before all."""
    assert pad_slice_add.order(CONV, block).tolist() == [-1] * zeros + EXPECTED


def test_a_filter_without_stripes_counts_as_one_of_one() -> None:
    """Its constant rides on a row of zeros, which lies among the rows of one stripe."""
    weight = CONV.weight.copy()
    weight[4] = 0
    order = pad_slice_add.order(dataclasses.replace(CONV, weight=weight), 1).tolist()
    assert sorted(order[:4]) == [1, 2, 4, 5]
    assert order[4:] == [3, 0]


def test_layers_in_that_order_need_no_last_gather() -> None:
    """Written in the order, the sums are the filters; otherwise the last Gather names the place of each filter."""
    ordered = dataclasses.replace(CONV, weight=CONV.weight[EXPECTED], bias=CONV.bias[EXPECTED])
    for conv, places in ((CONV, np.argsort(EXPECTED).tolist()), (ordered, None)):
        model = conv_model(conv)
        lower(model, lambda _: "pad-slice-add", block=1)
        last = model.graph[len(model.graph) - 1]
        assert (last.op_type == "Gather") == (places is not None)
        indices = array_of(last.inputs[1]) if last.op_type == "Gather" else None
        assert (None if indices is None else indices.tolist()) == places
    assert "Gather" in ops(model)


def test_filters_of_one_stripe_need_no_sum() -> None:
    """There is one Sum for each number of stripes above one, and none for the filters that kept a single stripe."""
    model = conv_model(CONV)
    lower(model, lambda _: "pad-slice-add", block=1)
    assert ops(model).count("Sum") == 2
    single = conv_model(dataclasses.replace(CONV, weight=CONV.weight[[1, 2, 5]], bias=CONV.bias[[1, 2, 5]]))
    lower(single, lambda _: "pad-slice-add", block=1)
    assert "Sum" not in ops(single)
