"""`auto`: each layer by count, whatever the machine."""

import numpy as np
import pytest
from hypothesis import given, settings
from small_models import random_conv, stripe_convs

from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.automatic import automatic, nearest_price
from swp_export.lowerings.costs import automatic_cost, dense_cost
from swp_export.lowerings.sliced_ellpack import NODE_PRICES
from swp_export.stripes import StripeConv


def sparse(live: float = 0.15) -> StripeConv:
    """Return a 3x3 layer of 64 channels and filters of which the share `live` of the stripes is live."""
    return random_conv(np.random.default_rng(0).random((64, 3, 3)) < live, channels=64, pads=(1, 1, 1, 1))


@settings(max_examples=30)
@given(drawn=stripe_convs())
def test_choice_exists_and_applies(drawn: StripeConv) -> None:
    """Whatever the layer, the choice is a lowering that does not refuse it, with a reason."""
    name, reason = automatic(drawn, 64)
    assert LOWERINGS[name].why_not(drawn) is None
    assert reason


def test_a_node_costs_less_the_larger_the_map() -> None:
    """The price falls with the positions of a run, and every price of the table is one for some map."""
    prices = [nearest_price(2**exponent, threads=4) for exponent in range(18)]
    assert prices == sorted(prices, reverse=True)
    assert set(prices) == set(NODE_PRICES)


@pytest.mark.parametrize(("live", "positions"), [(1.0, 1024), (0.9, 4)])
def test_dense_where_no_slices_are_cheaper(live: float, positions: int) -> None:
    """A full layer, and a nearly full one on a map where nodes cost most."""
    assert automatic(sparse(live), positions)[0] == "dense"


def test_it_costs_less_than_dense() -> None:
    """A sparse layer is cut into slices that cost less, by the same count."""
    assert automatic(sparse(), 256)[0].startswith("sliced-ellpack(")
    assert automatic_cost(sparse(), 256) < dense_cost(sparse(), 256) / 2
