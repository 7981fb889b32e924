"""The static rule breaks layers where the network gains by it, and says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from small_models import random_conv, stripe_convs

from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.costs import dense_cost, pad_slice_add_cost
from swp_export.lowerings.static_rule import GAIN, SPENT, choose
from swp_export.stripes import StripeConv


def conv(live: float, channels: int = 64, filters: int = 64) -> StripeConv:
    """Return a 3x3 layer of which the share `live` of the stripes is live."""
    return random_conv(np.random.default_rng(0).random((filters, 3, 3)) < live, channels=channels)


def chosen(*layers: tuple[StripeConv, int]) -> list[str]:
    """Return how layers on maps of so many positions are written that are a network together."""
    convs = {str(index): layer for index, (layer, _) in enumerate(layers)}
    plan = choose(convs, {str(index): positions for index, (_, positions) in enumerate(layers)})
    return [plan[name][0] for name in convs]


@settings(max_examples=50)
@given(drawn=stripe_convs())
def test_choice_exists_and_applies(drawn: StripeConv) -> None:
    """Whatever the layer, the choice is a lowering that does not refuse it, with a reason."""
    name, reason = choose({"layer": drawn}, {"layer": 1024})["layer"]
    assert LOWERINGS[name].why_not(drawn) is None
    assert reason


@pytest.mark.parametrize(
    ("live", "channels", "expected"),
    [(1.0, 64, "dense"), (0.02, 64, "pad-slice-add"), (0.02, 512, "pad-slice-add"), (0.3, 4, "dense")],
)
def test_few_stripes_or_many_channels_are_broken(live: float, channels: int, expected: str) -> None:
    """A full layer stays dense; a sparse one with many channels is broken; few channels are not worth it."""
    assert chosen((conv(live, channels), 1024)) == [expected]


@pytest.mark.parametrize(("positions", "expected"), [(16, "dense"), (1024, "pad-slice-add")])
def test_the_map_decides(positions: int, expected: str) -> None:
    """The same layer is broken on a large map; on a small one its nodes cost more than its products."""
    assert chosen((conv(0.1), positions)) == [expected]


def test_no_network_costs_more_than_dense() -> None:
    """By count, and by at least the margin of the count where any layer is broken."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(30):
        sizes = rng.choice([8, 16, 40, 64, 128], size=(4, 2))
        layers = [(conv(rng.choice([0.05, 0.2, 0.5]), int(c), int(n)), int(rng.choice([4, 64, 784]))) for c, n in sizes]
        dense = sum(dense_cost(*layer) for layer in layers)
        forms = chosen(*layers)
        cost = sum(
            dense_cost(*layer) if form == "dense" else pad_slice_add_cost(*layer)
            for form, layer in zip(forms, layers, strict=True)
        )
        assert cost <= (dense if set(forms) == {"dense"} else GAIN * dense)
        broken += set(forms) != {"dense"}
    assert 0 < broken < 30


def test_a_small_loss_is_taken_for_a_smaller_file() -> None:
    """Where others gain much, layers that lose are broken as far as SPENT goes; without them none is."""
    large, losing = (conv(0.05, 128, 128), 1024), (conv(0.05, 64, 64), 4)
    cost = pad_slice_add_cost(*large)
    loss = pad_slice_add_cost(*losing) - dense_cost(*losing)
    paid = int((SPENT - 1) * cost / loss)
    assert paid > 0
    assert chosen(losing) == ["dense"]
    forms = chosen(large, *[losing] * (paid + 3))
    assert forms.count("dense") >= 3
    assert forms.count("pad-slice-add") == 1 + paid
    assert forms[0] == "pad-slice-add"


def test_one_by_one_is_dense() -> None:
    """A 1x1 convolution is dense, for the reason that the lowering gives."""
    layer = random_conv(np.ones((4, 1, 1), bool))
    assert choose({"layer": layer}, {"layer": 64}) == {"layer": ("dense", "a 1x1 kernel has a single tap")}
