"""An output passes iff it is within its budget, and nothing passes for lack of anything to compare."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.verification.comparison import EPS, FACTOR, ULPS, CaseResult, Tolerance, budget, compare

TRUTH = np.array([[1.0, -2.0, 100.0, 0.0]])
OWN_ERROR = 1e-3


def single(error: float = OWN_ERROR) -> np.ndarray:
    """Return a float32 run of the reference that is off by `error` at its largest value."""
    return (TRUTH + np.array([0, 0, error, 0])).astype(np.float32)


def result(y: np.ndarray, truth: np.ndarray = TRUTH, own: np.ndarray | None = None, **options: Tolerance) -> CaseResult:
    """Compare `y` with the truth."""
    return compare(truth, single() if own is None else own, y, case="c", output="o", **options)


class TestBudget:
    """What a model may be off."""

    def test_factor_of_the_references_own_error(self) -> None:
        """FACTOR times as wrong as the reference's own float32 run is allowed, a little more is not."""
        allowed, own = budget(TRUTH, single())
        assert own == pytest.approx(OWN_ERROR, rel=1e-2)
        assert allowed == FACTOR * own
        for index in range(4):
            for share, expected in ((0.99, True), (1.01, False)):
                y = TRUTH.copy()
                y[0, index] += share * allowed
                found = compare(TRUTH, single(), y, case="", output="")
                assert found.problem is not None  # float64 is another dtype: only this test's arithmetic needs it
                errors = np.abs(y - TRUTH)
                assert bool((errors <= allowed).all()) == expected

    def test_floor(self) -> None:
        """Where the reference is exact in float32, a few units in the last place of the largest value remain."""
        own = TRUTH.astype(np.float32)
        assert budget(TRUTH, own) == (ULPS * EPS * 100, 0)
        near, far = (TRUTH + np.array([0, 0, 0, error * ULPS * EPS * 100]) for error in (0.9, 1.2))
        assert result(near.astype(np.float32), own=own).ok
        assert not result(far.astype(np.float32), own=own).ok

    @given(st.floats(1e-7, 1e-2), st.floats(0, 10))
    def test_ratio_and_verdict_agree(self, own: float, times: float) -> None:
        """`error_to_budget` is at most 1 iff the output passes."""
        y = (TRUTH + np.array([0, times * own, 0, 0])).astype(np.float32)
        found = result(y, own=single(own))
        assert found.ok == (found.error_to_budget <= 1)
        assert found.max_abs_error == pytest.approx(np.abs(y - TRUTH).max())

    def test_where_it_is_worst(self) -> None:
        """The report says where, how far and how many."""
        y = TRUTH.astype(np.float32) + np.float32([[0, 0.5, 0, -0.7]])
        found = result(y)
        assert (found.worst, found.exceeding, found.elements) == ((0, 3), 2, 4)
        assert found.max_abs_error == pytest.approx(0.7)


class TestTolerance:
    """An explicit tolerance replaces the budget."""

    def test_element_by_element(self) -> None:
        """|y - truth| <= atol + rtol * |truth|, whatever the reference's own error is."""
        y = (TRUTH + np.array([0, 0, 0.9, 0])).astype(np.float32)
        assert result(y, tolerance=Tolerance(atol=0, rtol=0.01)).ok
        assert not result(y, tolerance=Tolerance(atol=0, rtol=0.001)).ok
        assert result(y, tolerance=Tolerance(atol=1, rtol=0)).ok
        assert not result(y, tolerance=Tolerance(atol=0.5, rtol=0)).ok

    def test_worst_is_the_one_that_exceeds(self) -> None:
        """A large error on a large value is within rtol; the small one on a small value is what is reported."""
        y = (TRUTH + np.array([0.5, 0, 0.9, 0])).astype(np.float32)
        found = result(y, tolerance=Tolerance(atol=0, rtol=0.01))
        assert not found.ok
        assert found.worst == (0, 0)
        assert found.budget == pytest.approx(0.01)
        assert found.error_to_budget == pytest.approx(50, rel=1e-3)

    def test_zero_tolerance(self) -> None:
        """Nothing is allowed: equal passes, the least difference does not."""
        exact = Tolerance(atol=0, rtol=0)
        assert result(TRUTH.astype(np.float32), tolerance=exact).ok
        off = TRUTH.astype(np.float32)
        off[0, 3] = 1e-30
        assert not result(off, tolerance=exact).ok
        assert result(off, tolerance=exact).error_to_budget == np.inf


class TestNeverVacuous:
    """What cannot be compared fails."""

    good = TRUTH.astype(np.float32)

    def test_a_good_output_passes(self) -> None:
        """The outputs below differ from one that passes in one thing each."""
        assert result(self.good).ok
        assert result(self.good).problem is None

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, value: float) -> None:
        """One NaN or infinite value fails, under a tolerance too."""
        y = self.good.copy()
        y[0, 1] = value
        for options in ({}, {"tolerance": Tolerance(atol=1e9, rtol=1e9)}):
            found = result(y, **options)
            assert not found.ok
            assert found.problem == "1 of 4 values are NaN or infinite"
            assert found.error_to_budget == np.inf

    @pytest.mark.parametrize("y", [good.T, good[0], good[:, :3], np.float32(1)])
    def test_another_shape(self, y: np.ndarray) -> None:
        """Another shape fails, even one that would broadcast."""
        found = result(np.asarray(y))
        assert not found.ok
        assert found.problem is not None
        assert "instead of [1, 4]" in found.problem

    @pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
    def test_another_dtype(self, dtype: type) -> None:
        """Another dtype than the reference's own float32 run fails."""
        found = result(TRUTH.astype(dtype))
        assert not found.ok
        assert found.problem is not None
        assert "instead of float32" in found.problem

    def test_integers_where_the_reference_gives_integers(self) -> None:
        """An ArgMax output is compared as what it is."""
        truth = np.array([[3, 1]])
        assert result(truth, truth=truth, own=truth).ok
        assert not result(truth + 1, truth=truth, own=truth).ok

    def test_nothing_to_compare(self) -> None:
        """An empty output proves nothing."""
        empty = np.zeros((0, 4))
        found = result(empty.astype(np.float32), truth=empty, own=empty.astype(np.float32))
        assert not found.ok

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_reference_that_is_not_finite(self, value: float) -> None:
        """Where the reference, or its float32 run that sets the budget, is not finite, nothing passes."""
        spoilt = TRUTH.copy()
        spoilt[0, 2] = value
        for truth, own in ((spoilt, single()), (TRUTH, spoilt.astype(np.float32))):
            found = result(self.good, truth=truth, own=own)
            assert not found.ok
            assert found.problem is not None
            assert "reference itself" in found.problem


def test_json() -> None:
    """The document is JSON in the strict sense: what is not finite is null."""
    spoilt = np.full((1, 4), np.nan)
    document = result(TRUTH.astype(np.float32), truth=spoilt).to_json()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["ok"] is False
    assert json.loads(text)["budget"] is None
