"""Figures for people."""

import pytest

from swp_export.page.formats import FORMATS


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("count", 14_719_818, "14,719,818"),
        ("short", 14_719_818, "14.7 M"),
        ("short", 999, "999"),
        ("short", 1_000, "1.00 k"),
        ("short", 153_168, "153 k"),
        ("short", 0, "0"),
        ("short", 626_400_000, "626 M"),
        ("megabytes", 702_311, "0.70 MB"),
        ("milliseconds", 0.73812, "0.738 ms"),
        ("percent", 98.96, "99.0 %"),
        ("share", 0.125, "12.5 %"),
        ("times", 12.51, "12.5 times"),
        ("tiny", 2.61e-7, "2.6e-07"),
        ("plain", 3.9, "3.9"),
    ],
)
def test_a_figure_is_written_for_people(name: str, value: float, shown: str) -> None:
    """Three digits at most, and a unit."""
    assert FORMATS[name](value) == shown
