"""An output passes iff it is within its budget, and nothing passes for lack of anything to compare."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.errors import InputError
from swp_export.verification.comparison import (
    EPS,
    FACTOR,
    LUCK,
    ULPS,
    CaseResult,
    Tolerance,
    budgets,
    compare,
    limits_of,
)

TRUTH = np.array([[1.0, -2.0, 100.0, 0.0]])
OWN_ERROR = 1e-3


def single(error: float = OWN_ERROR) -> np.ndarray:
    """Return a float32 run of the reference that is off by `error` at its largest value."""
    return (TRUTH + np.array([0, 0, error, 0])).astype(np.float32)


def result(
    y: np.ndarray, truth: np.ndarray = TRUTH, own: np.ndarray | None = None, tolerance: Tolerance | None = None
) -> CaseResult:
    """Compare `y` with the truth."""
    limits = None if tolerance is None else limits_of(tolerance, truth)
    return compare(truth, single() if own is None else own, y, case="c", output="o", limits=limits)


class TestBudget:
    """What a model may be off."""

    def test_factor_of_the_references_own_error(self) -> None:
        """FACTOR times as wrong as the reference's own float32 run is allowed in a channel, a little more is not."""
        limits = budgets([TRUTH], [single()])[0]
        own = np.abs(single() - TRUTH)[0, 2]
        assert own == pytest.approx(OWN_ERROR, rel=1e-2)
        assert limits[0, 2] == pytest.approx(FACTOR * own)
        for share, expected in ((0.99, True), (1.01, False)):
            y = TRUTH.copy()
            y[0, 2] += share * limits[0, 2]
            assert bool((np.abs(y - TRUTH) <= limits).all()) == expected

    def test_a_large_channel_hides_nothing_of_the_others(self) -> None:
        """Small logits that changed places are found beside a logit that is a million times larger."""
        truth = np.array([[20002.4, 0.00223, 0.00418, -0.0064]])
        own = truth.astype(np.float32)
        swapped = own[:, [0, 2, 1, 3]]
        assert compare(truth, own, own, case="", output="").ok
        assert not compare(truth, own, swapped, case="", output="").ok

    def test_luck_on_one_case_does_not_narrow_the_budget(self) -> None:
        """A channel's own error is taken over all cases, in proportion to their scale."""
        truths = [np.array([[1.0, 0.5]]), np.array([[1000.0, 500.0]])]
        singles = [truths[0].astype(np.float32), (truths[1] + [[0, 0.001]]).astype(np.float32)]
        first, second = budgets(truths, singles)
        assert second[0, 1] == pytest.approx(FACTOR * 0.001, rel=0.05)
        assert first[0, 1] == pytest.approx(FACTOR * 1e-6, rel=0.05)
        assert first[0, 0] == pytest.approx(ULPS * EPS)

    @pytest.mark.parametrize("seed", range(20))
    def test_luck_of_one_in_a_thousand_does_not_narrow_its_budget(self, seed: int) -> None:
        """A model that is as wrong as the reference, by other numbers, passes; one 20 times as wrong is seen."""
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(4, 1000))
        own, other = (1e-5 * rng.normal(size=truth.shape) for _ in range(2))
        limits = budgets([truth], [truth + own])[0]
        assert (np.abs(other) <= limits).all()
        assert np.count_nonzero((np.abs(20 * other) > limits).any(axis=0)) > 950

    @pytest.mark.parametrize("channels", [5, 1000])
    def test_what_others_are_off_widens_a_budget_by_luck_alone(self, channels: int) -> None:
        """A channel with a thousandth of their error gets LUCK times its own; beside a few others, nothing."""
        truth, off = np.ones((1, channels)), np.full(channels, 1e-2)
        off[0] = 1e-5
        limits = budgets([truth], [truth + off])[0]
        assert limits[0, 0] == pytest.approx(FACTOR * 1e-5 * (LUCK if channels == 1000 else 1))
        assert limits[0, 1] == pytest.approx(FACTOR * 1e-2)

    def test_floor(self) -> None:
        """Where the reference is exact in float32, a few units in the last place of the largest value remain."""
        own = TRUTH.astype(np.float32)
        assert budgets([TRUTH], [own])[0].tolist() == (ULPS * EPS * np.abs(TRUTH)).tolist()
        near, far = (TRUTH + np.array([0, 0, error * ULPS * EPS * 100, 0]) for error in (0.9, 1.2))
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

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
    def test_no_tolerance_is_boundless(self, value: float) -> None:
        """What would let everything pass, or nothing, is refused."""
        with pytest.raises(InputError, match="--atol"):
            Tolerance(atol=value, rtol=0)
        with pytest.raises(InputError, match="--rtol"):
            Tolerance(atol=0, rtol=value)

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
    assert json.loads(text)["max_abs_error"] is None
