"""Pictures in block characters."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from swp_export.command_line.drawing import bar, heat, spark


def test_a_3x3_kernel_is_three_groups_of_three():
    """Row by row, against the largest; a share is never drawn as none."""
    assert heat([[0, 0.001, 0], [0.25, 0.5, 0.25], [0, 0.1, 0]]).unicode == "·▁· ▄█▄ ·▂·"


@pytest.mark.parametrize(
    ("height", "width", "groups"), [(1, 1, "█"), (1, 3, "███"), (2, 2, "██ ██"), (5, 5, "███ ███ ███"), (7, 1, "█ █ █")]
)
def test_larger_kernels_are_drawn_as_thirds(height, width, groups):
    """Smaller ones, even and non-square ones included, as they are."""
    assert heat([[0.5] * width] * height).unicode == groups


def test_thirds_are_symmetric_about_the_centre():
    """The middle of a 5x5 kernel is its centre alone."""
    centre = [[float(i == j == 2) for j in range(5)] for i in range(5)]
    assert heat(centre).unicode == "··· ·█· ···"


def test_a_histogram_is_as_long_as_its_counts():
    """Ten for a 3x3 kernel, the first those of dead filters."""
    assert spark([8, 4, 1, 0, 0, 0, 0, 0, 0, 0]).unicode == "█▄▁·······"


def test_a_long_histogram_keeps_the_dead_filters_apart():
    """The other 18 of 19 are added up two by two; nothing is lost."""
    assert spark([8, 1, 3, 0, 8, *[0] * 14]) == spark([8, 4, 8, 0, 0, 0, 0, 0, 0, 0])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_unicode_and_ascii_are_equally_long(counts):
    """So that a table is laid out alike in both."""
    drawing = spark(counts)
    assert len(drawing.unicode) == len(drawing.ascii) <= 10
    assert drawing.ascii.isascii()


def test_a_bar_is_empty_for_zero_alone():
    """One of a thousand is still to be seen."""
    assert [len(bar(count, 1000, 10).unicode) for count in (0, 1, 500, 1000)] == [0, 1, 5, 10]


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", "·█\n"), ("ascii", ".@\n")])
def test_the_encoding_of_the_console_decides(encoding, expected):
    """Block characters where they can be written, ASCII elsewhere."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file).print(spark([0, 1]))
    file.flush()
    assert file.buffer.getvalue().decode(encoding) == expected
