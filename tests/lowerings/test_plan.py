"""Plans: channels ordered, layers lowered, the same function; and what ONNX Runtime makes of the result."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, marked, model_from_text, ops, to_bytes, to_float32

from swp_export.errors import LoweringError
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, LAYER, decode_order
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lift
from swp_export.lowerings.plan import apply_plan
from swp_export.lowerings.sink_concat import RaiseConcat, SinkConcat
from swp_export.runtime.session import open_session
from swp_export.verification.diverging_layer import first_diverging_layer

if TYPE_CHECKING:
    from pathlib import Path

X = np.random.default_rng(0).normal(size=(2, 3, 12, 12))
LAYERS = ("conv0", "conv1", "conv2")


def sparse(rng: np.random.Generator, filters: int, channels: int) -> np.ndarray:
    """Return a weight whose filters keep one stripe, or several."""
    mask = np.zeros((filters, 9), bool)
    for row, live in zip(mask, rng.choice([0, 1, 1, 1, 2, 4, 7], size=filters), strict=True):
        row[rng.permutation(9)[:live]] = True
    return rng.normal(size=(filters, channels, 3, 3)) * mask.reshape(filters, 1, 3, 3) / channels**0.5


def network() -> ir.Model:
    """Return three stripe convolutions with a pool and a classifier, all channels free; widths fill no block."""
    rng = np.random.default_rng(4)
    return marked(
        model_from_text(
            f"a = Conv <{PADS}> (x, w0, b0) ra = Relu (a) b = Conv <{PADS}> (ra, w1, b1) rb = Relu (b)"
            f"p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (rb) c = Conv <{PADS}> (p, w2, b2) rc = Relu (c)"
            "q = GlobalAveragePool (rc) f = Flatten (q) y = Gemm (f, g, z)",
            y="double[N, 10] y",
            w0=sparse(rng, 29, 3),
            b0=rng.normal(size=29),
            w1=sparse(rng, 45, 29),
            b1=rng.normal(size=45),
            w2=sparse(rng, 51, 45),
            b2=rng.normal(size=51),
            g=rng.normal(size=(51, 10)),
            z=rng.normal(size=10),
        )
    )


def residual() -> ir.Model:
    """Return a block whose second convolution shares its channels with its input."""
    rng = np.random.default_rng(5)
    return marked(
        model_from_text(
            f"t = Conv <{PADS}> (x, w0, b0) rt = Relu (t) a = Conv <{PADS}> (rt, w1, b1) ra = Relu (a)"
            f"b = Conv <{PADS}> (ra, w2, b0) s = Add (b, rt) rs = Relu (s)"
            "q = GlobalAveragePool (rs) f = Flatten (q) y = Gemm (f, g)",
            y="double[N, 10] y",
            w0=sparse(rng, 16, 3),
            b0=rng.normal(size=16),
            w1=sparse(rng, 21, 16),
            b1=rng.normal(size=21),
            w2=sparse(rng, 16, 21),
            g=rng.normal(size=(16, 10)),
        )
    )


def planned(model: ir.Model, name: str, multiple: int = 8, layers: tuple[str, ...] = LAYERS) -> ir.Model:
    """Return a copy of `model` with its `layers` written by `name`, the others densely."""
    after = copied(model)
    apply_plan(after, dict.fromkeys(layers, name), multiple=multiple)
    return after


def optimized(model: ir.Model, folder: Path) -> list[onnx.NodeProto]:
    """Return the nodes that ONNX Runtime really runs."""
    path = folder / "optimized.onnx"
    open_session(to_bytes(to_float32(model)), optimized_model=path)
    return list(onnx.load(path).graph.node)


class TestFunction:
    """A planned model computes what the compact one does."""

    @pytest.mark.parametrize("name", [name for name in LOWERINGS if name != "shift"])
    @pytest.mark.parametrize("multiple", [1, 8, 16])
    def test_free_channels(self, name: str, multiple: int) -> None:
        """In float64, with no Gather left but pad-slice-add's own."""
        before = network()
        after = planned(before, name, multiple)
        assert furthest(before, after, X) < 1e-10
        assert "Gather" not in ops(after) or name == "pad-slice-add"
        onnx.checker.check_model(ir.to_proto(after), full_check=True)

    def test_pad_slice_add_needs_no_gather_at_its_end(self) -> None:
        """In the order that it asks for, its sums are the filters; with one stripe each, its rows are too."""
        after = planned(network(), "pad-slice-add", 1)
        assert [node.name for node in after.graph if (node.name or "").endswith("in_order")] == []
        before = residual()
        weight = before.graph.initializers["w1"]
        array = np.array(weight.const_value.numpy())  # type: ignore[union-attr]
        array.reshape(21, 16, 9)[:] *= np.eye(9)[np.arange(21) % 9][:, None]
        weight.const_value = ir.tensor(array + np.eye(9)[np.arange(21) % 9].reshape(21, 1, 3, 3), name="w1")
        assert "Gather" not in ops(planned(before, "pad-slice-add", 1, ("conv1",)))

    @pytest.mark.parametrize("name", [name for name in LOWERINGS if name != "shift"])
    def test_residual(self, name: str) -> None:
        """Two layers share one order: a lowering that permutes ends in a Gather in the smaller one only."""
        before = residual()
        after = planned(before, name)
        assert furthest(before, after, X) < 1e-10
        if name != "pad-slice-add":
            assert ops(after).count("Gather") <= LOWERINGS[name].permutes

    def test_the_larger_of_two_layers_that_share_decides(self) -> None:
        """Its form asks for an order, the other one's does not care: nothing is permuted."""
        before = residual()
        for name in ("shift-sum", "sliced-ellpack(640)", "dense"):
            after = copied(before)
            apply_plan(after, {"conv0": name, "conv2": "split(2, dense)"})
            assert furthest(before, after, X) < 1e-10
            assert "Gather" not in ops(after)

    def test_widths_that_are_shared_fill_blocks(self) -> None:
        """In every layer that shares them, and in its readers."""
        before = residual()
        after = planned(before, "dense", multiple=24)
        assert [conv.filters for _, conv in iterate_stripe_convs(after.graph)] == [24, 24, 24]
        assert furthest(before, after, X) < 1e-10

    def test_reproducible(self) -> None:
        """The same model and plan give the same bytes."""
        first, second = (to_bytes(planned(network(), "split(2, shift-sum)")) for _ in range(2))
        assert first == second

    @pytest.mark.parametrize("name", [name for name in LOWERINGS if name not in {"shift", "dense"}])
    def test_lifts_to_the_ordered_layers(self, name: str) -> None:
        """Lifting gives each layer's weights back bit for bit, in the order that FILTERS states."""
        before = {conv.name: conv for _, conv in iterate_stripe_convs(network().graph)}
        lifted = lift(planned(network(), name))
        assert furthest(network(), lifted, X) < 1e-10
        first, conv = next((n, c) for n, c in iterate_stripe_convs(lifted.graph) if c.name == "conv0")
        total, order = decode_order(first.metadata_props[FILTERS])
        assert total == 29
        assert np.array_equal(conv.weight[order >= 0], before["conv0"].weight[order[order >= 0]])
        assert not conv.weight[order < 0].any()


class TestDiverging:
    """The first layer that differs is found in a planned model too."""

    @pytest.mark.parametrize("name", ["split(2, shift-sum)", "sliced-ellpack(640)", "shift-chunks"])
    def test_finds_it(self, name: str) -> None:
        """Filters are matched by what FILTERS says, whatever their order; an undamaged model diverges nowhere."""
        reference, x = to_float32(network()), X.astype(np.float32)
        damaged = network()
        weight = damaged.graph.initializers["w1"]
        array = np.array(weight.const_value.numpy())  # type: ignore[union-attr]
        weight.const_value = ir.tensor(array * 1.01, name="w1")
        assert first_diverging_layer(planned(reference, name), reference, x) is None
        assert first_diverging_layer(planned(to_float32(damaged), name), reference, x) == "conv1"


class TestRefusals:
    """A plan that does not fit is an error that says why."""

    @pytest.mark.parametrize(
        ("plan", "message"),
        [
            ({"conv7": "dense"}, "layer 'conv7' that the model does not have: conv0, conv1, conv2"),
            ({"conv0": "magic"}, "no lowering is called 'magic'; there are: dense, pad-slice-add"),
            ({"conv0": "shift"}, "conv0 cannot be written as shift: a filter has 7 live stripes"),
        ],
    )
    def test_says_why(self, plan: dict[str, str], message: str) -> None:
        """And the model is left as it was."""
        model = network()
        with pytest.raises(LoweringError, match=message):
            apply_plan(model, plan)
        assert to_bytes(model) == to_bytes(network())


class TestOptimisedGraph:
    """What ONNX Runtime makes of it, on processors for which it has a blocked layout."""

    @pytest.fixture(autouse=True)
    def blocked(self, tmp_path: Path) -> None:
        """Skip where it has none."""
        if not any(node.domain == "com.microsoft.nchwc" for node in optimized(planned(network(), "dense"), tmp_path)):
            pytest.skip("this build of ONNX Runtime has no blocked layout on this processor")

    @pytest.mark.parametrize(
        "name",
        ["dense", "shift-sum", "sliced-ellpack(40)", "sliced-ellpack(640)", "split(2, shift-sum)", "split(2, dense)"],
    )
    def test_no_reorders_between_stripe_convolutions(self, name: str, tmp_path: Path) -> None:
        """The input of 3 channels is read as it is; the only reorder is the one before the classifier."""
        # Two convolutions of an input of open size: ONNX Runtime does not see that their outputs are alike.
        layers = LAYERS[1:] if name.startswith("sliced") else LAYERS
        # 16, so that a Concat stays in the blocked layout with AVX-512 too.
        nodes = optimized(planned(network(), name, multiple=16, layers=layers), tmp_path)
        counts = Counter(node.op_type for node in nodes)
        assert counts["ReorderInput"] == 0
        assert counts["ReorderOutput"] == 1
        last = max(index for index, node in enumerate(nodes) if node.op_type == "Conv")
        assert [node.op_type for node in nodes[:last]].count("ReorderOutput") == 0
        assert counts["Relu"] == 0

    @pytest.mark.parametrize("name", ["pad-slice-add", "shift-chunks"])
    def test_count_sees_them(self, name: str, tmp_path: Path) -> None:
        """The forms that slice or split do reorder between layers."""
        counts = Counter(node.op_type for node in optimized(planned(network(), name, multiple=16), tmp_path))
        assert counts["ReorderOutput"] > 1

    def test_widths_that_fill_no_block_leave_the_layout(self, tmp_path: Path) -> None:
        """29 channels without zeros beside them: why channels are filled up even for `dense`."""
        counts = Counter(node.op_type for node in optimized(network(), tmp_path))
        assert counts["FusedConv"] == 2

    @pytest.mark.parametrize("name", ["shift-sum", "sliced-ellpack(640)"])
    def test_residual_add_fuses(self, name: str, tmp_path: Path) -> None:
        """A residual Add and its Relu go into the last convolution of the branch."""
        counts = Counter(node.op_type for node in optimized(planned(residual(), name, multiple=16), tmp_path))
        assert counts["Add"] == counts["Relu"] == counts["ReorderInput"] == 0


class TestSinkConcat:
    """A Concat of groups moves behind what reads each channel alone, and back."""

    def test_behind_relu_and_pool(self) -> None:
        """Each branch gets its Relu and its pool."""
        after = planned(network(), "split(2, shift-sum)")
        for node in after.graph:
            if node.op_type == "Concat":
                producers = {value.producer().op_type for value in node.inputs}  # type: ignore[union-attr]
                assert producers in ({"Relu"}, {"MaxPool"})
        assert furthest(network(), after, X) < 1e-10

    def test_and_back(self) -> None:
        """Raising restores the operators, and the function stays."""
        after = planned(network(), "split(2, shift-sum)")
        before = Counter(ops(after))
        RaiseConcat()(after)
        counts = Counter(ops(after))
        assert (counts["Relu"], counts["MaxPool"]) == (3, 1) != (before["Relu"], before["MaxPool"])
        assert furthest(network(), after, X) < 1e-10
        assert not RaiseConcat()(after).modified

    def test_leaves_what_fuses_with_no_relu(self) -> None:
        """Behind sums one Relu is better than several."""
        after = planned(network(), "shift-chunks")
        assert ops(after).count("Relu") == 3
        assert {node.inputs[0].producer().op_type for node in after.graph if node.op_type == "Relu"} == {"Concat"}  # type: ignore[union-attr]

    def test_leaves_the_networks_own_concat(self) -> None:
        """Only a Concat that a lowering wrote moves."""
        model = model_from_text("a = Abs (x) c = Concat <axis = 1> (x, a) y = Relu (c)")
        assert not SinkConcat()(model).modified

    def test_leaves_a_concat_that_is_read_twice(self) -> None:
        """Then the other reader needs it where it is."""
        model = network()
        copy = model_from_text("y = Relu (x)")
        assert not SinkConcat()(copy).modified
        relu = next(node for node in model.graph if node.op_type == "Relu")
        model.graph.outputs.append(relu.inputs[0])
        relu.inputs[0].type = ir.TensorType(ir.DataType.DOUBLE)  # type: ignore[union-attr]
        after = copied(model)
        apply_plan(after, {"conv0": "split(2, shift-sum)"})
        reader = next(node for node in after.graph if node.op_type == "Relu")
        assert reader.inputs[0].producer().op_type in {"Concat", "Gather"}  # type: ignore[union-attr]


def test_raising_restores_the_names() -> None:
    """Operators that were sunk bear the names that they and their outputs had before, once each."""
    before, after = network(), planned(network(), "split(2, shift-sum)")
    RaiseConcat()(after)
    names = [
        {(node.name, node.outputs[0].name) for node in model.graph if node.op_type in {"Relu", "MaxPool"}}
        for model in (before, after)
    ]
    assert names[0] == names[1]


def test_branches_that_differ_are_not_joined() -> None:
    """A pool in one branch of a layer's Concat and a Relu in the other are two operators."""
    model = model_from_text(
        "a = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) b = Relu (x) c = Concat <axis = 1> (a, b) "
        "y = Abs (c)",
        x="double[N, 3, 8, 8] x",
    )
    concat = next(node for node in model.graph if node.op_type == "Concat")
    concat.metadata_props[LAYER] = "layer"
    assert not RaiseConcat()(model).modified
