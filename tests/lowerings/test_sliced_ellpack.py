"""`sliced-ellpack(p)`: columns, and a rest."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import conv_model, in_order, ops, random_conv

from swp_export.lowerings.lower import lower
from swp_export.lowerings.sliced_ellpack import SlicedEllpack


def written(mask: np.ndarray, price: int, *, ordered: bool = False) -> ir.Model:
    """Return the model of a layer of 64 channels with the live taps `mask`, bool `[N, 9]`."""
    lowering = SlicedEllpack(price)
    conv = random_conv(mask.reshape(-1, 3, 3), channels=64, pads=(1, 1, 1, 1))
    model = conv_model(in_order(conv, lowering.order(conv, 8)) if ordered else conv)
    lower(model, lambda _: lowering.name)
    return model


@pytest.mark.parametrize(
    ("taps", "nodes"),
    [([0, 2], ["Conv", "Conv", "Conv", "Conv", "Add"]), ([0, 4], ["Conv", "Conv", "Conv", "Add"])],
)
def test_columns_are_added_without_a_sum(taps: list[int], nodes: list[str]) -> None:
    """The second stripes onto the first ones; at the centre, which needs no shift, by the 1x1 Conv itself."""
    mask = np.zeros((16, 9), bool)
    mask[:, taps] = True
    assert ops(written(mask, 10)) == nodes


def test_the_rest_is_summed_in_groups() -> None:
    """In the order that it asks for, each group has about as many stripes, here two tiles of them."""
    counts = np.array([5] * 8 + [3] * 8 + [1] * 32)
    model = written(np.arange(9) < counts[:, None], 640, ordered=True)
    assert [node.attributes["group"].as_int() for node in model.graph if "group" in node.attributes] == [96, 6]
