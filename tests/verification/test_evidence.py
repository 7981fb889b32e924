"""A reference that contradicts itself, or that rounding decides, proves nothing; what it proves is what it says."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from small_models import PADS, model_from_text, to_bytes, to_float32, weights
from torch import nn

from swp_export.errors import InputError, UnprovableError
from swp_export.verification.cases import Case, make_cases
from swp_export.verification.evidence import CEILING, Gathered, gather
from swp_export.verification.references import OnnxReference, TorchReference
from swp_export.verification.runs import Runs
from swp_export.verification.verify import Verifier, verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from swp_export.runtime.session import TensorSpec
    from swp_export.verification.report import VerificationReport

    Outputs = dict[str, np.ndarray]

RNG = np.random.default_rng(0)
CASES = [(case, True) for case in make_cases((3, 8, 8))]


def model(body: str, y: str = "double[N, 4, P, Q] y", **tensors: np.ndarray) -> ir.Model:
    """Return the float32 model of `body`."""
    return to_float32(model_from_text(body, y=y, w=weights(RNG, 4, 3, 3, 3), **tensors))


@dataclasses.dataclass
class Fixed:
    """A reference whose output is its input's first channel, changed by the functions that it is given."""

    single: Callable[[np.ndarray], np.ndarray] = lambda y: y
    rounded_: Callable[[np.ndarray], np.ndarray] = lambda y: y
    plain: Fixed | None = None
    description: str = "fixed.pth"
    inputs: tuple[TensorSpec, ...] = ()
    computes_in_float16: bool = False

    def only_batch(self, input_shape: tuple[int, int, int]) -> int | None:  # noqa: ARG002 (the protocol)
        """Take any number of images."""
        return None

    def float64(self, x: np.ndarray) -> Outputs:
        """Return the truth."""
        return {"y": x[:, :1].astype(np.float64)}

    def float32(self, x: np.ndarray) -> Outputs:
        """Return what a float32 run gives."""
        return {"y": self.single(x[:, :1]).astype(np.float32)}

    def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:  # noqa: ARG002 (the protocol)
        """Return what rounding moves."""
        return lambda x: {"y": self.rounded_(x[:, :1].astype(np.float64))}

    def unoptimised(self) -> Fixed | None:
        """Return what is right without optimisation."""
        return self.plain

    def parts_at(self, x: np.ndarray) -> str | None:  # noqa: ARG002 (the protocol)
        """Name a node."""
        return "Conv node 'c'"

    def wavers_at(self, x: np.ndarray) -> str | None:  # noqa: ARG002 (the protocol)
        """Name a node."""
        return "Dropout node 'd'"


def gathered(reference: object, cases: list[tuple[Case, bool]] = CASES) -> Gathered:
    """Gather the evidence of `reference`."""
    return gather(reference, cases, lambda *_: None)


def verified_first_channel(reference: Fixed, samples: Case | None = None) -> VerificationReport:
    """Verify a model that gives its input's first channel."""
    first = to_float32(
        model_from_text(
            "y = Slice (x, a, b, c)", y="double[N, 1, H, W] y", a=np.array([0]), b=np.array([1]), c=np.array([1])
        )
    )
    return verify_model(to_bytes(first), reference, name="m", input_shape=(3, 8, 8), samples=samples)


class TestContradictions:
    """Nothing is proved against a reference that contradicts itself."""

    def test_two_runs_differ(self) -> None:
        """The node at which they differ is named."""
        draws = np.random.default_rng(0)
        with pytest.raises(UnprovableError, match=r"two runs on the same input differ, first at Dropout node 'd'"):
            gathered(Fixed(single=lambda y: y + draws.normal()))

    def test_dropout_of_a_module(self) -> None:
        """A module that drops out in eval mode is found."""

        class Dropping(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.nn.functional.dropout(x, 0.5, training=True)

        with pytest.raises(UnprovableError, match="two runs on the same input differ"):
            gathered(TorchReference(Dropping(), "r"))

    def test_further_off_than_rounding_explains(self) -> None:
        """The refusal says what, on which input, by how much, from which node on."""
        with pytest.raises(
            UnprovableError, match=r"output 'y' on noise.* is off by 0.0020 of its scale, first at Conv node 'c'"
        ):
            gathered(Fixed(single=lambda y: y * 1.002, rounded_=lambda y: y * (1 + 1e-7)))

    def test_further_off_below_the_ceiling(self) -> None:
        """What can still be seen is proved, and what cannot is said: an LRN of ONNX Runtime sums by differences."""
        found = gathered(Fixed(single=lambda y: y * 1.0001, rounded_=lambda y: y * (1 + 1e-7)))
        (note,) = found.notes
        assert "fixed.pth is itself further from float64 than rounding explains: output 'y' on noise" in note
        assert "off by 0.0001 of its scale, first at Conv node 'c'" in note
        assert found.optimise

    def test_further_off_on_unusual_inputs(self) -> None:
        """A float32 run that is spoilt by large inputs alone leaves them undecided, and the usual ones count."""
        found = gathered(Fixed(single=lambda y: np.where(np.abs(y) > 100, y * 1.01, y)))
        assert [each.case.name for each in found.evidence if each.undecided] == ["noise times 1000"]
        assert not found.notes

    def test_wrong_optimisation(self) -> None:
        """Where the unoptimised run is right, it is taken, and what is wrong is said."""
        right = Fixed(rounded_=lambda y: y * (1 + 1e-7))
        wrong = dataclasses.replace(right, single=lambda y: y * 1.01, plain=right)
        found = gathered(wrong)
        (said,) = found.notes
        assert not found.optimise
        assert "default optimisation of fixed.pth is wrong: output 'y'" in said
        assert "is off by 0.0100 of its scale, first at Conv node 'c'" in said
        assert all((each.runs["y"].single == each.runs["y"].truth).all() for each in found.evidence)

    def test_wrong_either_way(self) -> None:
        """Where the unoptimised run is wrong too, nothing is proved."""
        wrong = Fixed(single=lambda y: y * 1.01)
        with pytest.raises(UnprovableError, match="more than rounding explains"):
            gathered(dataclasses.replace(wrong, plain=wrong))


class TestUndecided:
    """An input on which rounding decides an output proves nothing of it."""

    def test_large_inputs(self) -> None:
        """Where only unusual inputs are beyond the ceiling, they are undecided and the others count."""

        def steep(y: np.ndarray) -> np.ndarray:
            return np.where(np.abs(y) > 200, -y, y * (1 + 1e-7))

        evidence = gathered(Fixed(rounded_=steep)).evidence
        undecided = {each.case.name: each.undecided for each in evidence if each.undecided}
        assert undecided.keys() == {"noise times 1000"}
        assert "rounding alone moves it by" in undecided["noise times 1000"]["y"]

    def test_usual_inputs(self) -> None:
        """Where all usual inputs are, the output is refused by name."""
        beyond = Fixed(rounded_=lambda y: y * (1 + 2 * CEILING), single=lambda y: y * (1 + 0.5 * CEILING))
        with pytest.raises(UnprovableError, match=r"nothing can be proved of output 'y' .* on noise: rounding alone"):
            verified_first_channel(beyond)

    def test_the_users_samples(self) -> None:
        """Samples of the user's on which nothing is decided are an error, not left out."""
        samples = Case(name="samples", x=np.full((2, 3, 8, 8), 50, np.float32), is_usual=True, is_of_user=True)
        steep = Fixed(rounded_=lambda y: np.where(np.abs(y) > 10, -y, y))
        with pytest.raises(UnprovableError, match="on samples: rounding alone"):
            verified_first_channel(steep, samples)

    def test_not_finite(self) -> None:
        """An input on which the reference overflows is undecided; a usual one is refused."""
        evidence = gathered(Fixed(single=lambda y: np.where(np.abs(y) > 100, np.inf, y))).evidence
        assert [each.case.name for each in evidence if each.undecided] == ["noise times 1000"]
        with pytest.raises(UnprovableError, match="NaN or infinite"):
            verified_first_channel(Fixed(single=lambda y: y * np.float32(np.nan)))

    def test_integers(self) -> None:
        """An ArgMax between like maps is decided by rounding: what either run of the reference gives is right."""
        decided = model(f"h = Conv <{PADS}> (x, w) y = ArgMax <axis = 1> (h)", y="int64[N, 1, P, Q] y")
        report = verify_model(to_bytes(decided), OnnxReference(decided, "r"), name="m", input_shape=(3, 8, 8))
        assert report.equivalent
        assert any(case.budget == 0 and case.elements for case in report.cases)

    def test_integers_that_rounding_changes(self) -> None:
        """Where it changes most of them, what either run of the reference gives is right, and no more is proved."""

        class Rounds(Fixed):
            def float64(self, x: np.ndarray) -> Outputs:
                return {"y": x[:, :1].astype(np.int64)}

            def float32(self, x: np.ndarray) -> Outputs:
                return self.float64(x)

            def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:  # noqa: ARG002 (the protocol)
                return lambda x: {"y": self.float64(x)["y"] + 1}

        ends = {"a": np.array([0]), "b": np.array([1]), "c": np.array([1]), "k": np.array(5)}
        text = "s = Slice (x, a, b, c) i = Cast <to = 7> (s)"
        same, other = (
            to_float32(model_from_text(f"{text} {last}", y="int64[N, 1, H, W] y", **ends))
            for last in ("y = Identity (i)", "y = Add (i, k)")
        )
        assert verify_model(to_bytes(same), Rounds(), name="m", input_shape=(3, 8, 8)).equivalent
        with pytest.raises(UnprovableError, match=r"output .y. .* rounding decides most of its values"):
            verify_model(to_bytes(other), Rounds(), name="m", input_shape=(3, 8, 8))


def test_another_integer_fails() -> None:
    """An ArgMax over maps in another order is not equivalent."""
    w = weights(RNG, 4, 3, 3, 3)
    one, other = (
        to_float32(
            model_from_text(f"h = Conv <{PADS}> (x, w) y = ArgMax <axis = 1> (h)", y="int64[N, 1, P, Q] y", w=part)
        )
        for part in (w, w[::-1])
    )
    report = verify_model(to_bytes(other), OnnxReference(one, "r"), name="m", input_shape=(3, 8, 8))
    assert not report.equivalent


def test_batch_inside_a_reshape() -> None:
    """A network that takes one image at a time is compared so, and the report says it."""
    baked = model(
        f"h = Conv <{PADS}> (x, w) f = Reshape (h, shape) y = MatMul (f, m)",
        y="double[N, 5] y",
        shape=np.array([1, 256]),
        m=RNG.normal(size=(256, 5)),
    )
    report = verify_model(to_bytes(baked), OnnxReference(baked, "baked.onnx"), name="m", input_shape=(3, 8, 8))
    assert report.equivalent
    assert {case.input_shape[0] for case in report.cases} == {1}
    assert report.notes == ("baked.onnx runs in batches of 1 only, and so does the model",)


def notes_of(first: ir.Model, second: ir.Model) -> tuple[str, ...]:
    """Verify `first` against `second`, which compute the same, and return what is said beside."""
    report = verify_model(to_bytes(first), OnnxReference(second, "open.onnx"), name="m", input_shape=(3, 8, 8))
    assert report.equivalent
    return report.notes


class TestNotes:
    """What a proof does not say."""

    OPEN = "double[N, 3, H, W] x"
    BODY = f"y = Conv <{PADS}> (x, w)"

    def conv(self, x: str) -> ir.Model:
        """Return a convolution whose input is `x`."""
        return to_float32(model_from_text(self.BODY, x=x, y="double[N, 4, P, Q] y", w=np.ones((4, 3, 3, 3))))

    @pytest.mark.parametrize(
        ("x", "note"),
        [
            ("double[1, 3, H, W] x", "the model runs in batches of 1 only, open.onnx in any"),
            ("double[N, 3, 8, 8] x", "the model runs on images of 8x8 only, open.onnx on others too"),
            ("double[N, 3, 8, W] x", "the model runs on images of height 8 only, open.onnx on others too"),
            ("double[N, 3, H, 8] x", "the model runs on images of width 8 only, open.onnx on others too"),
        ],
    )
    def test_fixed_where_the_reference_is_open(self, x: str, note: str) -> None:
        """A model that takes less than its reference does is said to."""
        assert notes_of(self.conv(x), self.conv(self.OPEN)) == (note,)

    @pytest.mark.parametrize("x", ["double[N, 3, H, W] x", "double[1, 3, 8, 8] x", "double[2, 3, H, W] x"])
    def test_as_open_as_the_reference(self, x: str) -> None:
        """Where both take the same, there is nothing to say."""
        assert notes_of(self.conv(x), self.conv(x)) == ()

    def test_constant_outputs(self) -> None:
        """Two networks whose output no image moves are alike, which says little; the other output is not named."""
        body = "z = Mul (x, zero) h = Conv (z, w) a = Add (h, b) c = Sigmoid (a) y = Relu (x)"
        tensors = {"zero": np.zeros(1), "w": np.ones((2, 3, 1, 1)), "b": np.ones((2, 1, 1))}
        dead = to_float32(model_from_text(body, y="double[N, 2, H, W] c, double[N, 3, H, W] y", **tensors))
        (note,) = notes_of(dead, dead)
        assert note == "output 'c' is the same for every image that was tried: that it is equal proves little"

    def test_an_output_that_moves_on_one_case_alone_is_not_constant(self) -> None:
        """Large images move what small ones leave as it is."""
        body = "h = Sub (x, b) y = Relu (h)"
        moving = to_float32(model_from_text(body, y="double[N, 3, H, W] y", b=np.full(1, 100.0)))
        assert notes_of(moving, moving) == ()

    def test_constant_integers(self) -> None:
        """Classes that are the same for every image are said to be."""
        body = "z = Mul (x, zero) c = ArgMax <axis = 1> (z) y = Relu (x)"
        dead = to_float32(model_from_text(body, y="int64[N, 1, H, W] c, double[N, 3, H, W] y", zero=np.zeros(1)))
        (note,) = notes_of(dead, dead)
        assert note.startswith("output 'c' is the same")


class TestBatches:
    """A batch that one of the two states is the one to compare at."""

    def batches(self, model: str, reference: str) -> set[int]:
        """Return the sizes of the batches that a convolution and the same with another batch are compared at."""
        first, second = (TestNotes().conv(f"double[{batch}, 3, H, W] x") for batch in (model, reference))
        report = verify_model(to_bytes(first), OnnxReference(second, "r"), name="m", input_shape=(3, 8, 8))
        assert report.equivalent
        return {case.input_shape[0] for case in report.cases}

    @pytest.mark.parametrize("batch", ["2", "4"])
    def test_a_reference_of_a_fixed_batch(self, batch: str) -> None:
        """An open model is compared at the batch that its reference states."""
        assert self.batches("N", batch) == {int(batch)}

    def test_two_batches(self) -> None:
        """A model and a reference of different batches are refused, both named."""
        with pytest.raises(InputError, match=r"batches of 1 only and r in batches of 4 only"):
            self.batches("1", "4")


def test_saturated_heads_hide_nothing() -> None:
    """A Sigmoid head whose weight is off by a thousandth is found, though large inputs saturate it."""
    w = 0.1 * weights(RNG, 4, 4, 1, 1)
    body = f"h = Conv <{PADS}> (x, w) g = Conv (h, v) y = Sigmoid (g)"
    first = model(body, v=w)
    spoilt = w.copy()
    spoilt[1, 2] *= 1.001
    tensors = {name: value.const_value.numpy() for name, value in first.graph.initializers.items()}
    other = to_float32(model_from_text(body, y="double[N, 4, P, Q] y", w=tensors["w"], v=spoilt))
    reference = OnnxReference(first, "r")
    assert verify_model(to_bytes(first), reference, name="m", input_shape=(3, 8, 8)).equivalent
    report = verify_model(to_bytes(other), reference, name="m", input_shape=(3, 8, 8))
    assert {case.case for case in report.cases if not case.ok} >= {"noise", "constants", "impulses"}


def network(body: str, y: str = "double[N, 8, P, Q] y", **tensors: np.ndarray) -> ir.Model:
    """Return a convolution, a BatchNormalization, a Relu and another convolution `z`, and `body` behind them."""
    given = {
        "w0": weights(np.random.default_rng(0), 16, 3, 3, 3),
        "b0": np.zeros(16),
        "mean": np.zeros(16),
        "w1": weights(np.random.default_rng(1), 8, 16, 3, 3),
        "one": np.ones(16),
        "zero": np.zeros(16),
    }
    layers = f"h = Conv <{PADS}> (x, w0, b0) n = BatchNormalization (h, one, zero, mean, one) r = Relu (n)"
    return to_float32(model_from_text(f"{layers} z = Conv <{PADS}> (r, w1) {body}", y=y, **given | tensors))


@pytest.mark.parametrize(
    ("body", "tensors"),
    [
        ("s = Sigmoid (z) y = Log (s)", {"w1": 0.05 * weights(np.random.default_rng(1), 8, 16, 3, 3)}),
        ("y = Mul (z, k)", {"k": np.array(1e-10)}),
        ("y = Identity (z)", {"w1": 1e-11 * weights(np.random.default_rng(1), 8, 16, 3, 3)}),
        ("y = Identity (z)", {"b0": np.full(16, 1000.0), "mean": np.full(16, 1000.0)}),
    ],
    ids=["nearly saturated", "tiny outputs", "tiny weights", "a mean far above the spread"],
)
@pytest.mark.parametrize("weight", ["w0", "w1"])
def test_budgets_of_odd_networks(body: str, tensors: dict[str, np.ndarray], weight: str) -> None:
    """They raise no false alarm, and the weakest stripe of a filter that computes with the wrong sign is found."""
    first = network(body, **tensors)
    array = first.graph.initializers[weight].const_value.numpy().astype(np.float64)  # type: ignore[union-attr]
    i, j = np.unravel_index(np.argmin(np.abs(array[5]).sum(axis=0)), array.shape[2:])
    array[5, :, i, j] *= -1
    verifier = Verifier(OnnxReference(first, "r"), (3, 8, 8))
    assert verifier.verify(to_bytes(first), "m").equivalent
    assert not verifier.verify(to_bytes(network(body, **{**tensors, weight: array})), "m").equivalent


def test_beyond_saturation() -> None:
    """Of the logarithm of what float32 rounds to zero nothing is proved, and that is said by name."""
    with pytest.raises(UnprovableError, match="nothing can be proved of output 'y'"):
        notes_of(network("s = Sigmoid (z) y = Log (s)"), network("s = Sigmoid (z) y = Log (s)"))


def test_the_furthest_of_the_rounded_runs_counts() -> None:
    """Of the rounded runs the one that goes furthest says how far rounding moves an output."""

    class Varied(Fixed):
        def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:
            return lambda x: {"y": x[:, :1] * (1 + (1e-4 if seed == 1 else 1e-7))}

    for each in gathered(Varied()).evidence:
        runs = each.runs["y"]
        if len(runs.truth) == 1:
            assert runs.moved == pytest.approx(1e-4 * np.abs(runs.truth), rel=1e-3, abs=0)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_images_of_a_batch_are_draws(dtype: type[np.number[Any]]) -> None:
    """One rounded run of a batch is enough of floats where nothing saturates, not of integers; all seeds are used."""
    ran: dict[int, list[int]] = {}

    class Counted(Fixed):
        def float64(self, x: np.ndarray) -> Outputs:
            return {"y": x[:, :1].astype(dtype)}

        def float32(self, x: np.ndarray) -> Outputs:
            return {"y": x[:, :1].astype(np.float32 if dtype is np.float64 else dtype)}

        def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:
            def run(x: np.ndarray) -> Outputs:
                ran.setdefault(seed, []).append(len(x))
                return self.float64(x)

            return run

    gathered(Counted())
    images = [len(case.x) for case, _ in CASES]
    if dtype is np.int64:
        assert list(ran.values()) == [images] * 3
    else:
        assert ran.keys() == {0, 1, 2}
        assert sorted(n for each in ran.values() for n in each) == sorted(
            n for case, _ in CASES for n in [len(case.x)] * (3 if len(case.x) == 1 or case.saturates else 1)
        )


def test_a_shape_that_rounding_decides() -> None:
    """Where a rounded run finds another number of boxes, the output is undecided there."""
    found = gathered(Fixed(rounded_=lambda y: y[:, :, :2] if np.abs(y).max() > 100 else y)).evidence
    assert {each.case.name for each in found if each.undecided} == {"noise times 1000"}


def test_integers_that_agree_by_luck() -> None:
    """Where roundings change an integer, it is undecided, though the float32 run happens to give the true one."""

    class Rounds(Fixed):
        def float64(self, x: np.ndarray) -> Outputs:
            return {"y": np.rint(x[:, :1]).astype(np.int64)}

        def float32(self, x: np.ndarray) -> Outputs:
            return self.float64(x)

        def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:
            return lambda x: {"y": self.float64(x)["y"] + int(np.abs(x).max() > 100 and seed == 2)}

    found = gathered(Rounds()).evidence
    assert {each.case.name for each in found if each.undecided} == {"noise times 1000"}


def test_integers_that_the_float32_run_flips_are_no_contradiction() -> None:
    """A few integers that float32 gives otherwise are left out by themselves; nothing is said of the reference."""

    class Flips(Fixed):
        def float64(self, x: np.ndarray) -> Outputs:
            return {"y": np.rint(x[:, :1]).astype(np.int64)}

        def float32(self, x: np.ndarray) -> Outputs:
            found = self.float64(x)["y"]
            found[0, 0, 0, 0] += 1
            return {"y": found}

        def rounded(self, seed: int) -> Callable[[np.ndarray], Outputs]:  # noqa: ARG002 (the protocol)
            return self.float64

    found = gathered(Flips())
    assert found.notes == ()
    assert found.optimise
    assert not any(each.undecided for each in found.evidence)


def test_other_kernels_of_the_runtime_count_as_its_own_error() -> None:
    """A pruned model is run by other kernels than its source; how far those are off is what the source is, too."""
    truth, near, far = np.zeros((1, 2)), np.full((1, 2), 1e-7), np.array([[3e-7, np.nan]])
    runs = Runs(truth=truth, single=near, moved=near, other=far)
    assert runs.own.tolist() == [[3e-7, 1e-7]]
    assert runs.own_single.tolist() == [[1e-7, 1e-7]]
    assert Runs(truth=truth, single=near, moved=near).own.tolist() == [[1e-7, 1e-7]]


def test_a_source_is_run_with_and_without_optimisation() -> None:
    """ONNX Runtime's two runs of an ONNX reference are both looked at; a module has one."""
    model = to_float32(model_from_text(f"h = Conv <{PADS}> (x, w) y = Relu (h)", w=weights(RNG, 8, 3, 3, 3)))
    case = Case(name="ones", x=np.ones((1, 3, 6, 6), np.float32))
    found = gather(OnnxReference(model, "it"), [(case, True)], lambda *_: None)
    assert found.evidence[0].runs["y"].other is not None
