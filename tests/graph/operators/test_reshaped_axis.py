"""Where a Reshape puts the axis that counts channels."""

from __future__ import annotations

from swp_export.graph.operators.shaping import reshaped_axis


def test_one_channel_of_one_image() -> None:
    """Of axes of size 1, the channel is at the one where it was, or joined to those behind it there."""
    assert reshaped_axis([1, 1, 4, 5], [1, 1, 20], 1) == (1, 1)
    assert reshaped_axis([1, 4, 1, 5], [1, 4, 1, 5], 2) == (2, 1)
    assert reshaped_axis([1, 1, 4, 5], [1, 20], 1) == (1, 20)
