"""Where the values of skeletons lie apart."""

import numpy as np
import pytest

from swp_export.network.widest_gap import widest_gap


@pytest.mark.parametrize(
    ("values", "gap"),
    [
        ([0.001, 0.002, 0.5, 0.6], (0.002, 0.5)),
        ([0.001, 0.1, 0.2, 1.5], (0.001, 0.1)),
        ([0.5, 0.6, 0.7], None),
        ([0.5], None),
        ([], None),
    ],
)
def test_the_widest_gap_is_that_of_most_decades(values: list[float], gap: tuple[float, float] | None) -> None:
    """Widths are ratios, not differences, and less than half a decade is no gap."""
    found = widest_gap(np.array(values, np.float32))
    assert found == (None if gap is None else pytest.approx(gap))


def test_tiny_values_are_one_point() -> None:
    """Zero, 1e-40 and 1e-9 are all the same to a float32 network: between them is nothing to choose."""
    assert widest_gap(np.array([0, 1e-40, 1e-9, 0.01, 0.02], np.float32)) == pytest.approx((1e-9, 0.01))
