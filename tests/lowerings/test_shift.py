"""`shift`: two convolutions, and no filter with a second stripe."""

import numpy as np
from small_models import conv_model, ops, random_conv

from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.examples import mask_of_counts
from swp_export.lowerings.shift import Shift


def test_is_two_convolutions() -> None:
    """1x1 and depthwise, a row for each filter, however little that fills."""
    model = conv_model(random_conv(mask_of_counts([1] * 13)))
    lower(model, lambda _: "shift")
    assert ops(model) == ["Conv"] * 2


def test_says_how_many_stripes_are_too_many() -> None:
    """It has no sum."""
    conv = random_conv(np.ones((2, 1, 3), bool))
    assert Shift().why_not(conv) == "a filter has 3 live stripes, more than one"
