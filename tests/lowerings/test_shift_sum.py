"""`shift-sum`: three convolutions."""

from small_models import conv_model, ops, random_conv, weight_shapes

from swp_export.lowerings.lower import lower
from swp_export.lowerings.parts.examples import mask_of_counts


def test_rows_fill_up_to_the_multiple_and_no_further() -> None:
    """1x1 to all live stripes, depthwise, 1x1 to all filters."""
    model = conv_model(random_conv(mask_of_counts([1, 2, 0, 9, 1]), pads=(1, 1, 1, 1)))
    lower(model, lambda _: "shift-sum", multiple=8)
    assert ops(model) == ["Conv"] * 3
    assert weight_shapes(model) == [[16, 3, 1, 1], [16, 1, 3, 3], [5, 16, 1, 1]]
