"""A model passes iff it computes what its reference does, on every case, and a failure says where it starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, copied, from_bytes, marked, model_from_text, to_bytes, to_float32, weights

from swp_export.errors import InputError
from swp_export.graph.constants import array_of
from swp_export.graph.metadata import LAYER
from swp_export.graph.pipeline import compact
from swp_export.lowerings.lower import lower
from swp_export.runtime.session import open_session
from swp_export.verification import verify
from swp_export.verification.cases import Case
from swp_export.verification.comparison import Tolerance
from swp_export.verification.evidence import gather
from swp_export.verification.references import OnnxReference
from swp_export.verification.report import VerificationReport
from swp_export.verification.verify import Verifier, verify_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from real_networks import Pruned

    from swp_export.verification.references import Reference

RNG = np.random.default_rng(0)
W0, W1 = weights(RNG, 8, 3, 3, 3, dead=[1, 4]), weights(RNG, 4, 8, 3, 3)
HEAD = "double[N, 4, P, Q] y"


def network(x: str = "double[N, 3, H, W] x", y: str = HEAD, body: str = "", **tensors: np.ndarray) -> ir.Model:
    """Return a float32 network of two layers, or the one that `body` spells."""
    body = body or f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
    return marked(to_float32(model_from_text(body, x=x, y=y, **({"w0": W0, "w1": W1} | tensors))))


def verified(
    model: ir.Model, reference: ir.Model, *, samples: Case | None = None, tolerance: Tolerance | None = None
) -> VerificationReport:
    """Verify `model` against `reference`, with its layers."""
    return verify_model(
        to_bytes(model),
        OnnxReference(reference, "the reference"),
        name="the model",
        input_shape=(3, 8, 8),
        samples=samples,
        tolerance=tolerance,
        dense=lambda: reference,
    )


def broken(reference: ir.Model) -> ir.Model:
    """Return `reference` pruned, and every layer broken."""
    model = compact(copied(reference))
    lower(model, lambda _: "pad-slice-add")
    return model


def test_what_was_fixed_at_the_traced_size_is_found() -> None:
    """A mean over the map that was traced with is right at sizes near it, where the pooled map is as large."""
    pooled = f"c = Conv <{PADS}> (x, w0) p = MaxPool <kernel_shape = [4, 4], strides = [4, 4]> (c)"
    reference = network(body=f"{pooled} y = GlobalAveragePool (p)", y="double[N, 8, 1, 1] y")
    corner = "start = Constant <value_ints = [0, 0]> () end = Constant <value_ints = [2, 2]> ()"
    axes = "axes = Constant <value_ints = [2, 3]> ()"
    fixed = network(
        body=f"{pooled} {corner} {axes} s = Slice (p, start, end, axes) y = GlobalAveragePool (s)",
        y="double[N, 8, 1, 1] y",
    )
    report = verified(fixed, reference)
    assert [case.case for case in report.cases if not case.ok] == ["noise, 16x17"]


class TestEquivalent:
    """What must pass."""

    @pytest.mark.parametrize(
        "x",
        [
            "double[N, 3, H, W] x",
            "double[N, 3, 8, 8] x",
            "double[1, 3, 8, 8] x",
            "double[4, 3, 8, 8] x",
            "double[4, 3, H, W] x",
        ],
    )
    def test_broken_model(self, x: str) -> None:
        """A pruned, broken model passes, whether its batch and sizes are open or fixed, samples included."""
        samples = Case(name="samples", x=RNG.normal(size=(5, 3, 8, 8)).astype(np.float32))
        report = verified(broken(network(x)), network(x), samples=samples)
        assert report.equivalent
        assert report.first_diverging_layer is None
        assert any(case.case == "samples" for case in report.cases)
        batch = x.removeprefix("double[")[0]
        assert {case.input_shape[0] for case in report.cases} >= ({1, 5, 7, 9} if batch == "N" else {int(batch)})
        sizes = {case.input_shape[2:] for case in report.cases}
        assert sizes == ({(8, 8), (9, 10), (11, 8), (5, 7), (16, 17)} if "H" in x else {(8, 8)})

    def test_sizes_that_the_reference_refuses_are_left_out(self) -> None:
        """A classifier of a fixed number of columns admits one size: only that one is compared."""
        fixed = network(
            y="double[N, 2] y",
            body=f"h = Conv <{PADS}> (x, w0) f = Flatten (h) y = MatMul (f, m)",
            m=RNG.normal(size=(512, 2)),
        )
        report = verified(broken(fixed), fixed)
        assert report.equivalent
        assert {case.input_shape[2:] for case in report.cases} == {(8, 8)}

    def test_single_outputs_need_no_common_name(self) -> None:
        """One output on either side is matched whatever it is called."""
        other = network(
            y="double[N, 4, P, Q] logits", body=f"h = Conv <{PADS}> (x, w0) r = Relu (h) logits = Conv <{PADS}> (r, w1)"
        )
        assert verified(other, network()).equivalent

    def test_several_outputs(self) -> None:
        """Every output is compared, by its name."""
        both = network(y=f"double[N, 8, P, Q] h, {HEAD}")
        report = verified(broken(both), both)
        assert report.equivalent
        assert {case.output for case in report.cases} == {"h", "y"}


class TestNotEquivalent:
    """What must fail, and never pass for want of a comparison."""

    def test_one_weight(self) -> None:
        """One weight that is off by 1 % fails, at the layer that has it."""
        w = W1.copy()
        w[2, 3, 0, 1] *= 1.01
        report = verified(network(w1=w), network())
        assert not report.equivalent
        assert report.first_diverging_layer == "conv1"
        assert "first diverging layer: conv1" in report.summary()

    def test_tolerance_replaces_the_budget(self) -> None:
        """What the budget refuses an explicit tolerance may admit, and the other way round."""
        w = W1.copy()
        w[2, 3, 0, 1] *= 1.01
        assert verified(network(w1=w), network(), tolerance=Tolerance(atol=1e6, rtol=0)).equivalent
        assert not verified(broken(network()), network(), tolerance=Tolerance(atol=0, rtol=0)).equivalent

    def test_difference_on_the_users_samples_alone(self) -> None:
        """A difference that only the samples show is found: a clip beyond the range of the generated inputs."""
        reference = network(body=f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)")
        limited = network(
            body=f"k = Clip (x, low, high) h = Conv <{PADS}> (k, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)",
            low=np.float32(-1e5),
            high=np.float32(1e5),
        )
        assert verified(limited, reference).equivalent
        samples = Case(name="samples", x=np.full((1, 3, 8, 8), 2e5, np.float32))
        report = verified(limited, reference, samples=samples)
        assert [case.case for case in report.cases if not case.ok] == ["samples"]

    @pytest.mark.parametrize(
        ("body", "y", "problem"),
        [
            ("h = Conv (x, w0) r = Relu (h) y = Conv (r, w1)", HEAD, "shape"),
            (
                f"h = Conv <{PADS}> (x, w0) r = Relu (h) z = Conv <{PADS}> (r, w1) y = Cast <to = 11> (z)",
                HEAD,
                "dtype float64",
            ),
            (
                f"h = Conv <{PADS}> (x, w0) r = Relu (h) z = Conv <{PADS}> (r, w1) q = Sub (z, z) y = Div (z, q)",
                HEAD,
                "NaN or infinite",
            ),
            (
                f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)",
                f"double[N, 8, P, Q] h, {HEAD}",
                "without a counterpart: h",
            ),
        ],
    )
    def test_what_cannot_be_compared(self, body: str, y: str, problem: str) -> None:
        """Another shape or dtype, NaN, and an output too many fail."""
        model = network(body=body, y=y)
        if "Cast" in body:
            proto = ir.to_proto(model)
            proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
            model = ir.from_proto(proto)
        report = verified(model, network())
        assert not report.equivalent
        assert any(case.problem is not None and problem in case.problem for case in report.cases)
        assert "not equivalent" in report.summary()

    def test_missing_output(self) -> None:
        """An output that the reference has and the model has not fails."""
        report = verified(network(), network(y=f"double[N, 8, P, Q] h, {HEAD}"))
        assert not report.equivalent
        assert all(case.problem is not None and "counterpart: h" in case.problem for case in report.cases)

    def test_size_that_only_the_reference_admits(self) -> None:
        """A model with open sizes that refuses one which the reference admits fails; it is no error of the user's."""
        stubborn = network(
            body=f"k = Add (x, zeros) h = Conv <{PADS}> (k, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)",
            zeros=np.zeros((1, 1, 8, 8)),
        )
        report = verified(stubborn, network())
        assert not report.equivalent
        failed = [case for case in report.cases if not case.ok]
        assert {case.input_shape[2:] for case in failed} == {(9, 10), (11, 8), (5, 7), (16, 17)}
        assert all(case.problem is not None and "refuses the input" in case.problem for case in failed)

    def test_no_case_is_no_proof(self) -> None:
        """A report without a single comparison cannot be made."""
        with pytest.raises(ValueError, match="proves nothing"):
            VerificationReport(model="m", reference="r", cases=())


class TestVerifier:
    """Several models against one reference."""

    def test_the_reference_is_run_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of models that take the same inputs only the first makes the reference run; each is judged by itself."""
        gathered: list[list[str]] = []

        def counted(
            reference: Reference, cases: Sequence[tuple[Case, bool]], progress: Callable[[str], None]
        ) -> object:
            gathered.append([case.name for case, _ in cases])
            return gather(reference, cases, progress)

        monkeypatch.setattr(verify, "gather", counted)
        w = W1.copy()
        w[2, 3, 0, 1] *= 1.01
        verifier = Verifier(OnnxReference(network(), "r"), (3, 8, 8))
        reports = [verifier.verify(to_bytes(each), "m") for each in (network(), network(w1=w), broken(network()))]
        assert [report.equivalent for report in reports] == [True, False, True]
        assert len(gathered) == 1

    def test_other_inputs_make_it_run_again(self) -> None:
        """A model of a fixed batch is compared on batches of that size, whatever was compared before."""
        verifier = Verifier(OnnxReference(network(), "r"), (3, 8, 8))
        assert verifier.verify(to_bytes(network()), "m").equivalent
        report = verifier.verify(to_bytes(network("double[4, 3, 8, 8] x")), "m")
        assert {case.input_shape for case in report.cases} == {(4, 3, 8, 8)}


class TestInputs:
    """What the reference refuses is the user's error."""

    def test_wrong_shape(self) -> None:
        """An input shape that the reference does not take is refused before anything is compared."""
        reference = network()
        with pytest.raises(InputError, match="refuses"):
            verify_model(to_bytes(reference), OnnxReference(reference, "r"), name="m", input_shape=(5, 8, 8))

    def test_no_images(self) -> None:
        """A model that takes an input of other axes is refused."""
        rows = to_float32(
            model_from_text("y = MatMul (x, m)", x="double[N, 3] x", y="double[N, 2] y", m=RNG.normal(size=(3, 2)))
        )
        with pytest.raises(InputError, match=r"expected \[N, 3, 8, 8\]"):
            verify_model(to_bytes(rows), OnnxReference(rows, "r"), name="m", input_shape=(3, 8, 8))

    def test_progress(self) -> None:
        """Every case is announced, with a share of the whole that never falls back."""
        names: list[str] = []
        shares: list[float | None] = []

        def progress(text: str, done: float | None = None, /) -> None:
            names.append(text)
            shares.append(done)

        report = verify_model(
            to_bytes(network()), OnnxReference(network(), "r"), name="m", input_shape=(3, 8, 8), progress=progress
        )
        assert shares == sorted(share for share in shares if share is not None)
        *cases, last = [case.case for case in report.cases]
        assert [name for name in names if name in cases] == cases
        assert last == "noise, not optimised"


Change = Callable[[ir.Model, str], None]


def nodes_of(model: ir.Model, layer: str) -> list[ir.Node]:
    """Return the nodes of a layer."""
    return [node for node in model.graph if node.metadata_props.get(LAYER) == layer]


def alter(node: ir.Node, index: int, change: Callable[[np.ndarray], None]) -> None:
    """Change an initializer that `node` reads; each is read by one node in our models."""
    value = node.inputs[index]
    assert value is not None
    array = np.array(array_of(value))
    before = array.copy()
    change(array)
    assert not np.array_equal(array, before)
    value.const_value = ir.tensor(array, name=value.name)


def first(model: ir.Model, layer: str, op_type: str) -> ir.Node:
    """Return the first node of a layer that is such an operator."""
    return next(node for node in nodes_of(model, layer) if node.op_type == op_type)


def perturb_weight(model: ir.Model, layer: str) -> None:
    """Make the largest weight of the layer 1 % larger."""

    def change(array: np.ndarray) -> None:
        array.reshape(-1)[np.argmax(np.abs(array))] *= 1.01

    alter(first(model, layer, "Conv"), 1, change)


def swap_channels(model: ir.Model, layer: str) -> None:
    """Swap two input channels of the layer."""

    def change(array: np.ndarray) -> None:
        order = np.argsort(np.abs(array).sum(axis=(0, 2, 3)))
        array[:, order[[-1, -2]]] = array[:, order[[-2, -1]]]

    alter(first(model, layer, "Conv"), 1, change)


def swap_gathered(model: ir.Model, layer: str) -> None:
    """Swap two channels in the order of the layer's last Gather."""

    def change(array: np.ndarray) -> None:
        array[[0, -1]] = array[[-1, 0]]

    alter([node for node in nodes_of(model, layer) if node.op_type == "Gather"][-1], 1, change)


def shift_slice(model: ir.Model, layer: str) -> None:
    """Move the first tap's Slice by one row, start and end alike, so that no shape changes."""
    tap = next(node for node in nodes_of(model, layer) if node.op_type == "Slice" and "tap" in (node.name or ""))
    start, end = array_of(tap.inputs[1]), array_of(tap.inputs[2])
    assert start is not None
    assert end is not None
    other = 0 if start[1] > 0 else 1
    span = 2 if end[1] != np.iinfo(np.int64).max and (start[1], end[1]) == (0, -2) else 1

    def move_start(array: np.ndarray) -> None:
        array[1] = other

    def move_end(array: np.ndarray) -> None:
        array[1] = other - span if other < span else np.iinfo(np.int64).max

    alter(tap, 1, move_start)
    alter(tap, 2, move_end)


def move_stripe(model: ir.Model, layer: str) -> None:
    """Exchange the first rows of two neighbouring taps: a stripe computes at the tap next to its own."""
    taps = [node for node in nodes_of(model, layer) if node.op_type == "Slice" and "tap" in (node.name or "")]
    starts = [array_of(node.inputs[1]) for node in taps]

    def change(array: np.ndarray) -> None:
        a, b = (int(start[0]) for start in starts[:2] if start is not None)
        array[[a, b]] = array[[b, a]]

    alter(first(model, layer, "Conv"), 1, change)


CHANGES: dict[str, list[Change]] = {
    "dense": [perturb_weight, swap_channels],
    "pad-slice-add": [perturb_weight, swap_channels, swap_gathered, shift_slice, move_stripe],
}


class TestRealModels:
    """One small mistake in one layer of a real pruned network."""

    def changed(self, pruned: Pruned, layer: str, change: Change) -> VerificationReport:
        """Verify the pruned network after `change` of one layer."""
        model = from_bytes(pruned.content)
        change(model, layer)
        return verify_model(
            to_bytes(model),
            pruned.reference,
            name="changed",
            input_shape=pruned.input_shape,
            dense=lambda: from_bytes(pruned.dense),
        )

    @pytest.mark.parametrize("change", CHANGES["pad-slice-add"], ids=lambda change: change.__name__)
    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_broken_layers(self, network: str, change: Change, request: pytest.FixtureRequest) -> None:
        """In an early, a middle and a late broken layer each kind of mistake fails, under exactly that layer's name."""
        pruned: Pruned = request.getfixturevalue(network)
        names = [layer.name for layer in pruned.report.layers if layer.lowering == "pad-slice-add"]
        assert len(names) >= 3
        model = from_bytes(pruned.content)
        gathering = [n for n in names if any(node.op_type == "Gather" for node in nodes_of(model, n))]
        shifting = [
            n
            for n in gathering
            if sum(node.op_type == "Slice" and "tap" in (node.name or "") for node in nodes_of(model, n)) > 1
            and sum(node.op_type == "Conv" for node in nodes_of(model, n)) == 1
        ]
        for name in (shifting[0], shifting[len(shifting) // 2], shifting[-1]):
            report = self.changed(pruned, name, change)
            assert not report.equivalent, name
            assert report.first_diverging_layer == name

    @pytest.mark.parametrize("change", CHANGES["dense"], ids=lambda change: change.__name__)
    def test_dense_layers(self, change: Change, resnet56: Pruned) -> None:
        """In an early, a middle and a late dense layer too."""
        names = [layer.name for layer in resnet56.report.layers if layer.lowering == "dense"]
        names = [name for name in names if "downsample" not in name and name != "conv1"]
        for name in (names[0], names[len(names) // 2], names[-1]):
            report = self.changed(resnet56, name, change)
            assert not report.equivalent, name
            assert report.first_diverging_layer == name

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_unchanged(self, network: str, request: pytest.FixtureRequest) -> None:
        """The same path without a change passes, so the tests above prove something."""
        report = self.changed(request.getfixturevalue(network), "", lambda _model, _layer: None)
        assert report.equivalent
        assert report.first_diverging_layer is None


class TestOptimisation:
    """What ONNX Runtime's optimisations spoil is told apart from what the model does."""

    @staticmethod
    def spoil(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Let every optimised session of a model give half of what it computes; return what the sessions were."""
        opened: list[bool] = []

        class Halved:
            def __init__(self, session: object) -> None:
                self.inputs, self.outputs, self.label = session.inputs, session.outputs, session.label
                self._session = session

            def run_on(self, x: np.ndarray) -> dict[str, np.ndarray]:
                return {name: array / 2 for name, array in self._session.run_on(x).items()}

        def opening(model: bytes, *, optimise: bool = True) -> object:
            opened.append(optimise)
            session = open_session(model, optimise=optimise)
            return Halved(session) if optimise else session

        monkeypatch.setattr(verify, "open_session", opening)
        return opened

    def test_a_model_that_is_right_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model that fails by its optimisations alone fails, and the report says what is wrong."""
        opened = self.spoil(monkeypatch)
        report = verified(network(), network())
        assert not report.equivalent
        assert (report.cases[-1].case, report.cases[-1].ok) == ("noise, not optimised", True)
        assert opened == [True, False, False]
        assert any("without ONNX Runtime's optimisations it is within its budget" in note for note in report.notes)

    def test_a_model_that_only_they_make_run(self) -> None:
        """A missing input channel counts as zeros in their layout; as the file stands, nothing runs it."""
        body = f"h = Conv <{PADS}> (x, w0) r = Relu (h) y = Conv <{PADS}> (r, w1)"
        w0, w1 = np.pad(W0[:7], ((0, 9), (0, 0), (0, 0), (0, 0))), np.pad(W1, ((0, 0), (0, 8), (0, 0), (0, 0)))
        right, wrong = (network(body=body, w0=weight, w1=w1) for weight in (w0, w0[:12]))
        problems = [(case.case, case.problem) for case in verified(wrong, right).cases if not case.ok]
        assert [case for case, _ in problems] == ["noise, not optimised"]
        assert "Input channels" in problems[0][1]

    def test_a_reference_that_is_right_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the reference is compared without optimisations, so is the model."""
        real = verify.gather
        monkeypatch.setattr(verify, "gather", lambda *given: dataclasses.replace(real(*given), optimise=False))
        opened = self.spoil(monkeypatch)
        assert verified(network(), network()).equivalent
        assert opened == [True, False]


def test_between_flat_and_saturated() -> None:
    """A filter that counts only where inputs are large, and not where they are so large that a Softmax is flat."""
    body = f"h = Conv <{PADS}> (x, w0) m = Max (h, k) p = GlobalMaxPool (m) y = Softmax <axis = 1> (p)"
    right, wrong = (network(y="double[N, 8, P, Q] y", body=body, k=40.0, w0=w) for w in (W0, W0 * 1.01))
    assert [case.case for case in verified(wrong, right).cases if not case.ok] == ["noise times 30"]


def test_what_is_undecided_is_compared_all_the_same() -> None:
    """Being within the budget proves nothing there; being beyond it, or of no number, is wrong."""
    sine = f"h = Conv <{PADS}> (x, w0) m = Mul (h, k) s = Sin (m)"
    steep = network(y="double[N, 8, P, Q] y", body=f"{sine} y = Identity (s)", k=100.0)
    undecided = {case.case for case in verified(steep, steep).cases if case.undecided is not None}
    assert undecided == {"noise times 30", "noise times 1000"}
    far = "a = Abs (x) b = ReduceMax <keepdims = 1> (a, axes) c = Greater (b, bound) d = Where (c, large, zero)"
    body = f"{sine} {far} y = Add (s, d)"
    constants = {"axes": np.array([1, 2, 3]), "bound": np.float32(100), "zero": np.float32(0)}
    for large in (1e6, np.nan):
        wrong = network(y="double[N, 8, P, Q] y", body=body, k=100.0, large=np.float32(large), **constants)
        report = verified(wrong, steep)
        assert [case.case for case in report.cases if not case.ok] == ["noise times 1000"]
