"""The front holds what nothing beats, and its knee is where it bends most."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swp_export.sweeping.front import knee, pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(POINTS)
def test_what_is_on_the_front(points: list[tuple[int, int]]) -> None:
    """Every point is either on the front or beaten by one on it, and none on it is beaten."""
    costs, values = zip(*points, strict=True)
    front = pareto_front(costs, values)
    for number, (cost, value) in enumerate(points):
        beaten = any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        alike = any(points[other] == points[number] for other in front)
        assert alike != beaten
        assert number not in front or not beaten


def test_the_knee() -> None:
    """It is the point furthest above the line between the ends, cheap and nearly as good as the best."""
    costs, values = [1, 2, 3, 8, 10], [10, 60, 88, 89, 91]
    assert knee(costs, values) == 2
    assert knee(costs[::-1], values[::-1]) == 2


def test_no_knee() -> None:
    """Two points, a straight line and a front that sags have none."""
    assert knee([1, 2], [1, 2]) is None
    assert knee([1, 2, 4], [1, 2, 3]) is None
    assert knee([1, 2, 4], [1, 1.5, 3]) is None
    assert knee([0, 1, 2], [1, 2, 3]) is None
