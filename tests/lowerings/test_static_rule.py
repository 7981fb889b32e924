"""The static rule breaks a layer where that is less work, and says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from small_models import random_conv, stripe_convs

from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.static_rule import MOVE, choose
from swp_export.stripes import StripeConv


def conv(live: float, channels: int = 64, filters: int = 64) -> StripeConv:
    """Return a 3x3 layer of which the share `live` of the stripes is live."""
    return random_conv(np.random.default_rng(0).random((filters, 3, 3)) < live, channels=channels)


@settings(max_examples=50)
@given(drawn=stripe_convs())
def test_choice_exists_and_applies(drawn: StripeConv) -> None:
    """Whatever the layer, the choice is a lowering that does not refuse it, with a reason."""
    name, reason = choose(drawn)
    assert LOWERINGS[name].why_not(drawn) is None
    assert reason


@pytest.mark.parametrize(
    ("live", "channels", "expected"),
    [(1.0, 64, "dense"), (0.02, 64, "pad-slice-add"), (0.02, 512, "pad-slice-add"), (0.3, 4, "dense")],
)
def test_few_stripes_or_many_channels_are_broken(live: float, channels: int, expected: str) -> None:
    """A full layer stays dense; a sparse one with many channels is broken; few channels are not worth it."""
    assert choose(conv(live, channels))[0] == expected


def test_the_stated_sums_decide() -> None:
    """The choice changes exactly where the two sums of the module's docstring cross."""
    for live in np.linspace(0.05, 1, 20):
        layer = conv(float(live))
        rows = layer.skeleton.live_stripes + int((layer.skeleton.stripes_per_filter == 0).sum())
        dense = 64 * 9 * 64
        broken = rows * 64 + MOVE * (64 + 5 * rows + 3 * 64)
        assert choose(layer)[0] == ("pad-slice-add" if broken < dense else "dense")


def test_one_by_one_is_dense() -> None:
    """A 1x1 convolution is dense, for the reason that the lowering gives."""
    assert choose(random_conv(np.ones((4, 1, 1), bool))) == ("dense", "a 1x1 kernel has a single tap")
