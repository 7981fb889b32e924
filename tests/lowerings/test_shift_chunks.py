"""`shift-chunks`: rows in chunks."""

import numpy as np
from small_models import conv_model, random_conv, weight_shapes

from swp_export.lowerings.lower import lower


def test_rows_fill_up_to_the_multiple_and_no_further() -> None:
    """Zeros behind the last chunk."""
    mask = np.zeros((5, 3, 3), bool)
    mask[:, 0, 0] = mask[:3, 1, 1] = True
    model = conv_model(random_conv(mask, pads=(1, 1, 1, 1)))
    lower(model, lambda _: "shift-chunks", multiple=16)
    assert weight_shapes(model) == [[16, 3, 1, 1], [16, 1, 2, 2]]
