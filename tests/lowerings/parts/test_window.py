"""The window of live taps."""

import numpy as np
import pytest
from small_models import conv_model, ops, random_conv

from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.window import window_of

CENTRE = np.zeros((8, 3, 3), bool)
CENTRE[:, 1, 1] = True


def test_drops_what_the_pads_allow() -> None:
    """Only the lower right 2x2 taps live: the kernel loses a row and a column with the pads that they read."""
    mask = np.zeros((4, 3, 3), bool)
    mask[:, 1:, 1:] = True
    conv = random_conv(mask, pads=(1, 1, 1, 1))
    found = window_of(conv, conv.skeleton.live_taps)
    assert (found.first, found.kernel, found.pads) == ((1, 1), (2, 2), (0, 0, 1, 1))


def test_keeps_what_the_pads_do_not_allow() -> None:
    """Without pads a dropped row would need a crop, so it stays."""
    assert window_of(random_conv(CENTRE), [(1, 1)]).kernel == (3, 3)


@pytest.mark.parametrize("name", ["shift", "shift-sum", "sliced-ellpack(40)", "cropped"])
def test_one_tap_needs_no_shift(name: str) -> None:
    """A layer whose live taps are one, with pads to drop the others, is one Conv."""
    conv = random_conv(CENTRE, pads=(1, 1, 1, 1))
    assert LOWERINGS[name].why_not(conv) is None
    model = conv_model(conv)
    lower(model, lambda _: name)
    assert ops(model) == ["Conv"]
