"""An output passes iff it is within its budget, and nothing passes for lack of anything to compare."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swp_export.errors import InputError
from swp_export.verification.budget import EPS, FACTOR, LUCK, MOST, NOT_MODELLED, TAIL, ULPS, budgets, unexplained
from swp_export.verification.comparison import CaseResult, Tolerance, compare, limits_of
from swp_export.verification.runs import Runs

TRUTH = np.array([[1.0, -2.0, 100.0, 0.0]])
OWN_ERROR = 1e-3


def single(error: float = OWN_ERROR) -> np.ndarray:
    """Return a float32 run of the reference that is off by `error` at its largest value."""
    return (TRUTH + np.array([0, 0, error, 0])).astype(np.float32)


def runs(truth: np.ndarray, single: np.ndarray | None = None, moved: float | np.ndarray = 0.0) -> Runs:
    """Return what a reference gave; by default its float32 run is off by as much as rounding moves it."""
    single = truth + moved * np.ones_like(truth) if single is None and np.any(moved) else single
    return Runs(truth=truth, single=truth if single is None else single, moved=np.broadcast_to(moved, truth.shape))


def result(
    y: np.ndarray, truth: np.ndarray = TRUTH, own: np.ndarray | None = None, tolerance: Tolerance | None = None
) -> CaseResult:
    """Compare `y` with the truth."""
    reference = runs(truth, single() if own is None else own)
    limits = budgets([reference])[0] if tolerance is None else limits_of(tolerance, reference)
    return compare(reference, y, limits, case="c", output="o")


class TestBudget:
    """What a model may be off."""

    def test_factor_of_what_the_float32_run_is_off(self) -> None:
        """FACTOR times as wrong as the reference's own float32 run is allowed in a channel, a little more is not."""
        limits = budgets([runs(TRUTH, single())])[0]
        own = np.abs(single() - TRUTH)[0, 2]
        assert own == pytest.approx(OWN_ERROR, rel=1e-2)
        assert limits[0, 2] == pytest.approx(FACTOR * own)

    def test_factor_of_what_rounding_moves(self) -> None:
        """FACTOR times what random roundings move it at most, and some of many TAIL times as far, is allowed."""
        limits = budgets([runs(TRUTH, moved=np.array([1e-3, 2e-3, 2e-3, 3e-3]))])[0]
        usual = np.median([1e-3, 2e-3, 2e-3, 3e-3])
        assert limits[0] == pytest.approx(FACTOR * TAIL * np.array([usual, usual, usual, 3e-3]))

    def test_sums_of_many_terms_widen_it_at_most_so_far(self) -> None:
        """A float32 run that is off k times as far as rounded runs widens all channels k times, at most MOST."""
        truth = np.ones((1, 5))
        for times, expected in ((0.5, 1.0), (3.0, 3.0), (1000.0, MOST)):
            off = times * 1e-3 * 5**0.5  # in one of five channels: `times` by rms
            (limits,) = budgets([runs(truth, truth + np.array([[off, 0, 0, 0, 0]]), 1e-3)])
            assert limits[0, 1:] == pytest.approx(FACTOR * TAIL * expected * 1e-3)

    def test_a_large_channel_hides_nothing_of_the_others(self) -> None:
        """Small logits that changed places are found beside a logit that is a million times larger."""
        truth = np.array([[20002.4, 0.00223, 0.00418, -0.0064]])
        own = truth.astype(np.float32)
        swapped = own[:, [0, 2, 1, 3]]
        assert result(own, truth, own).ok
        assert not result(swapped, truth, own).ok

    def test_a_large_column_hides_nothing_of_the_others(self) -> None:
        """What a detector gives of each box has budgets of its own: scores beside coordinates in the hundreds."""
        rng = np.random.default_rng(0)
        truth = np.concatenate([300 * rng.random((1, 40, 4)), rng.random((1, 40, 3))], axis=2)
        moved = 1e-7 * truth * rng.random(truth.shape)
        (limits,) = budgets([runs(truth, moved=moved)])
        assert limits[..., 4:].max() < 5e-6
        assert limits[..., :4].max() > 1e-4

    def test_a_channel_that_is_tiny_here_alone(self) -> None:
        """A saturated Sigmoid gives 1e-15, and ONNX Runtime 1e-9: one unit of what it is elsewhere is allowed."""
        tiny, usual = budgets([runs(np.full((1, 3), 1e-15)), runs(np.full((1, 3), 0.5))])
        assert (tiny == EPS * 0.5).all()
        assert (usual == ULPS * EPS * 0.5).all()

    def test_a_channel_that_is_large_elsewhere_hides_nothing(self) -> None:
        """A logit of a thousand on usual images allows no more than one unit of 1 where it is tiny."""
        tiny, _ = budgets([runs(np.full((1, 3), 1e-15)), runs(np.full((1, 3), 1000.0))])
        assert (tiny == EPS).all()

    def test_unusual_cases_say_nothing_of_the_others(self) -> None:
        """Inputs of a thousand times the magnitude widen no budget but their own, and raise no floor."""
        usual, wild = runs(np.ones((1, 3)), moved=1e-7), runs(np.full((1, 3), 1000.0), moved=1e-2)
        assert budgets([usual, wild], [True, False])[0] == pytest.approx(budgets([usual])[0])

    def test_a_large_case_hides_nothing_of_the_others(self) -> None:
        """What a steep Sigmoid is off on inputs of a thousand times the magnitude is not allowed on usual ones."""
        truth = np.array([[0.5, 0.5]])
        usual, large = budgets([runs(truth, moved=1e-7), runs(truth, moved=1e-4)])
        assert large == pytest.approx(np.full((1, 2), FACTOR * TAIL * 1e-4))
        assert usual == pytest.approx(np.full((1, 2), max(FACTOR * TAIL * LUCK * 1e-7, ULPS * EPS * 0.5)))

    def test_luck_on_one_case_is_made_up_for_by_the_others(self) -> None:
        """A channel that is off by little in one case is granted what it is in others, up to LUCK times."""
        truths = [np.array([[1.0, 0.5]]), np.array([[1000.0, 500.0]])]
        first, second = budgets([runs(truths[0], moved=1e-5), runs(truths[1], moved=np.array([0.02, 10.0]))])
        assert second[0] == pytest.approx(FACTOR * TAIL * np.array([0.02 * LUCK, 10.0]))
        assert first[0] == pytest.approx(FACTOR * TAIL * np.array([2e-5, LUCK * 1e-5]))

    @pytest.mark.parametrize("seed", range(20))
    def test_luck_of_one_in_a_thousand_is_no_false_alarm(self, seed: int) -> None:
        """A model that is as wrong as the reference, by other numbers, passes; one 60 times as wrong is seen."""
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(4, 1000))
        own, other, *rounded = (1e-5 * rng.normal(size=truth.shape) for _ in range(7))
        moved = np.abs(np.stack(rounded[:3])).max(axis=0)
        (limits,) = budgets([runs(truth, truth + own, moved)])
        assert (np.abs(other) <= limits).all()
        assert np.count_nonzero((np.abs(60 * other) > limits).any(axis=0)) > 950

    def test_floor(self) -> None:
        """Where rounding moves nothing, a few units in the last place of the channel's largest value remain."""
        own = TRUTH.astype(np.float32)
        assert budgets([runs(TRUTH, own)])[0].tolist() == (ULPS * EPS * np.abs(TRUTH)).tolist()
        near, far = (TRUTH + np.array([0, 0, error * ULPS * EPS * 100, 0]) for error in (0.9, 1.2))
        assert result(near.astype(np.float32), own=own).ok
        assert not result(far.astype(np.float32), own=own).ok

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 0)])
    def test_outputs_of_any_rank(self, shape: tuple[int, ...]) -> None:
        """A budget has the shape of its output, and in rank 1 or 0 one scale for all."""
        truth = np.random.default_rng(0).normal(size=shape)
        (limits,) = budgets([runs(truth, moved=1e-3)])
        assert limits.shape == shape
        assert limits == pytest.approx(np.full(shape, FACTOR * TAIL * 1e-3))
        y = truth.astype(np.float32)
        assert compare(runs(truth, y), y, limits, case="", output="").ok == (truth.size > 0)
        if truth.size:
            spoilt = y + np.float32(0.01)
            assert not compare(runs(truth, y), spoilt, limits, case="", output="").ok

    def test_integers_and_booleans_are_exact(self) -> None:
        """No budget, and no tolerance, allows another integer."""
        for truth in (np.array([[3, 1]]), np.array([[True, False]])):
            assert not budgets([runs(truth)])[0].any()
            unstable = Runs(truth=truth, single=truth, moved=np.array([[np.inf, 0]]))
            assert budgets([unstable])[0].tolist() == [[np.inf, 0]]
            assert not limits_of(Tolerance(atol=5, rtol=5), runs(truth)).any()

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


class TestUnexplained:
    """Whether the reference's own float32 run can be explained by rounding."""

    def test_as_far_as_rounding_goes(self) -> None:
        """A few times what roundings move it is explained; much more is not, and its share of the scale is given."""
        for times, expected in ((0.9, None), (1.5, 1.5)):
            off = times * TAIL * MOST * 1e-3 + NOT_MODELLED * 100
            found = unexplained(runs(TRUTH, TRUTH + np.array([0, 0, off, 0]), moved=1e-3), [])
            assert found == (None if expected is None else pytest.approx(off / 100))

    def test_a_large_channel_hides_nothing(self) -> None:
        """A channel is explained by its own roundings and its own scale, not by those of a larger one."""
        truth = np.array([[1e4, 1.0]])
        own = truth + np.array([[0, 0.01]])
        found = unexplained(runs(truth, own, moved=np.array([[1e-3, 1e-7]])), [])
        assert found == pytest.approx(0.01)

    def test_scale_of_usual_inputs(self) -> None:
        """Approximated functions are off by a share of the usual scale, also where all outputs happen to be tiny."""
        tiny = np.full((1, 2), 1e-15)
        off = runs(tiny, tiny + NOT_MODELLED / 2)
        assert unexplained(off, [runs(np.ones((1, 2)))]) is None
        assert unexplained(off, [runs(np.full((3, 2), 1e-6))]) == pytest.approx(NOT_MODELLED / 2 / 1e-6)


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
            found = compare(runs(truth, own), self.good, np.ones_like(TRUTH), case="", output="")
            assert not found.ok
            assert found.problem is not None
            assert "reference itself" in found.problem


def test_json() -> None:
    """The document is JSON in the strict sense: what is not finite is null."""
    spoilt = runs(np.full((1, 4), np.nan))
    document = compare(spoilt, TRUTH.astype(np.float32), np.ones((1, 4)), case="", output="").to_json()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["ok"] is False
    assert json.loads(text)["max_abs_error"] is None


class TestNumbers:
    """What the constants promise, in numbers: a change of one changes what "equivalent" means."""

    def test_of_the_budget(self) -> None:
        """Five times what the float32 run is off, ten times what roundings move it, eight units at least."""
        exact = np.array([[1.0, 1.0]])
        by_single, by_rounding, by_floor = (
            budgets([each])[0][0, 0] for each in (runs(exact, exact + 1e-3), runs(exact, moved=1e-3), runs(exact))
        )
        assert by_single == pytest.approx(5e-3)
        assert by_rounding == pytest.approx(10e-3)
        assert by_floor == pytest.approx(8 * 2.0**-23)

    def test_of_luck_and_of_long_sums(self) -> None:
        """A lucky channel is granted four times more; a float32 run counts as at most 16 rounded ones."""
        lucky, wide = np.ones((1, 3)), np.ones((1, 1))
        assert budgets([runs(lucky, moved=np.array([[1e-6, 1e-3, 1e-3]]))])[0][0, 0] == pytest.approx(4 * 10e-6)
        off = runs(wide, wide + 1.0, moved=1e-3)
        assert unexplained(off, []) == pytest.approx(1.0)
        assert unexplained(runs(wide, wide + 0.0319, moved=1e-3), []) is None
        assert unexplained(runs(wide, wide + 0.0321, moved=1e-3), []) is not None


def test_an_undecided_case_is_no_failure() -> None:
    """A case that proves nothing either way neither fails nor counts as a large error."""
    good = result(TRUTH.astype(np.float32))
    undecided = dataclasses.replace(good, elements=0, max_abs_error=np.inf, undecided="rounding alone moves it")
    assert undecided.ok
    assert undecided.error_to_budget == 0
    assert not dataclasses.replace(undecided, undecided=None).ok


def test_exact_where_exactness_is_asked() -> None:
    """No error over no budget is a ratio of 0, not of infinity."""
    found = result(TRUTH.astype(np.float32), tolerance=Tolerance(atol=0, rtol=0))
    assert (found.budget, found.error_to_budget) == (0, 0)


def test_the_references_own_error_is_reported() -> None:
    """Of the reference's float32 run the largest error is reported, wherever it is."""
    assert result(TRUTH.astype(np.float32)).reference_error == pytest.approx(OWN_ERROR, rel=1e-2)


def test_a_vector_has_one_channel() -> None:
    """An output of rank 1 or 0 has no axis of channels: its largest value sets the floor of all of it."""
    for truth in (np.array([1.0, 0.0, 4.0]), np.array(4.0)):
        (limits,) = budgets([runs(truth)])
        assert limits.shape == truth.shape
        assert (limits == ULPS * EPS * 4).all()


def test_boxes_are_compared_by_either_axis() -> None:
    """Of `[N, boxes, values]` neither a steep box nor a large value hides anything of the others."""
    truth = np.ones((1, 4, 3))
    moved = np.full(truth.shape, 1e-6)
    moved[0, 3], moved[0, :, 2] = 1e-2, 1e-2
    limits = budgets([runs(truth, moved=moved)])[0]
    small = FACTOR * TAIL * LUCK * 1e-6
    assert (
        budgets([runs(np.ones((1, 2, 3)), moved=np.array([[[1e-6] * 3, [1e-2] * 3]]))])[0][0, 0].max() <= small * 1.001
    )
    assert limits[0, 3, 2] == pytest.approx(FACTOR * TAIL * 1e-2)


def test_small_channels_are_summed_from_large_ones() -> None:
    """A channel of differences may be off by a unit of the largest channel that it is made of, and not by ten."""
    truth = np.array([[1e-6, 100.0]])
    near, far = (unexplained(runs(truth, truth + np.array([[times * EPS * 100, 0]])), []) for times in (0.9, 10))
    assert near is None
    assert far is not None
