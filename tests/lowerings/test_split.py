"""`split(2, form)`: filters with one stripe apart from the others."""

import numpy as np
import pytest
from small_models import conv_model, in_order, ops, random_conv

from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.examples import mask_of_counts
from swp_export.lowerings.split import FORMS, Split

every_form = pytest.mark.parametrize("split", [Split(form) for form in FORMS])


@every_form
@pytest.mark.parametrize(("live", "side"), [(1, "no filter has"), (9, "every live filter has")])
def test_refuses_what_is_on_one_side(split: Split, live: int, side: str) -> None:
    """Where all filters have as many stripes there is nothing to split; those without any count on neither side."""
    conv = random_conv(mask_of_counts([live] * 7 + [0]))
    assert split.why_not(conv) == f"{side} 2 live stripes or more: there is nothing to split"


@every_form
@pytest.mark.parametrize("multiple", [4, 8, 16])
def test_fills_its_last_block_with_filters(split: Split, multiple: int) -> None:
    """Not with zeros, where all filters fill blocks; and what it ordered falls into the same groups."""
    rng = np.random.default_rng(0)
    conv = random_conv(mask_of_counts(rng.permutation([9] * 13 + [1] * 35).tolist()))
    order = split.order(conv, multiple)
    assert np.array_equal(np.sort(order), np.arange(48))
    model = conv_model(in_order(conv, order))
    lower(model, lambda _: split.name, multiple=multiple)
    assert ops(model)[-1] == "Concat"
