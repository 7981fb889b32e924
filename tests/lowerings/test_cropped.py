"""`cropped`: a convolution for each window."""

import numpy as np
from small_models import conv_model, random_conv, weight_shapes

from swp_export.lowerings.lower import lower


def test_writes_each_window_once() -> None:
    """Filters of one row, of one column and of all taps are three Convs, each of the smallest window that holds it."""
    mask = np.zeros((24, 3, 3), bool)
    mask[:8, 0], mask[8:16, :, 0], mask[16:] = True, True, True
    model = conv_model(random_conv(mask, channels=4, pads=(2, 2, 2, 2)))
    lower(model, lambda _: "cropped")
    assert sorted(weight_shapes(model)) == [[8, 4, 1, 3], [8, 4, 3, 1], [8, 4, 3, 3]]
