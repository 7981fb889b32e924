"""`lower` writes layers and names them; `lift` takes it back, bit for bit."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from lowering_double import LoweringDouble
from small_models import (
    PADS,
    conv_model,
    copied,
    from_bytes,
    furthest,
    marked,
    model_from_text,
    ops,
    random_conv,
    stripe_convs,
    to_bytes,
    to_float32,
    weights,
)

from swp_export.errors import LoweringError, ModelError
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, GEOMETRY, LAYER, LOWERING
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.lower import lift, lower
from swp_export.lowerings.rewrite import compact_from_portable, multiple_of, plan_of, planned_bytes
from swp_export.lowerings.shift_sum import ShiftSum

if TYPE_CHECKING:
    from lowering_double import Emit
    from real_networks import Pruned

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv


def broken(_: StripeConv) -> str:
    """Choose to break every layer."""
    return "pad-slice-add"


def same(a: StripeConv, b: StripeConv) -> bool:
    """Tell whether two convolutions agree in every fact and every bit of their numbers, but the sign of dead zeros."""
    geometry = (a.name, a.strides, a.pads, a.dilations) == (b.name, b.strides, b.pads, b.dilations)
    # Adding zero makes -0.0 to 0.0: a stripe that is dead by multiplication with zero keeps no sign.
    numbers = [((x.weight + 0).tobytes(), x.bias.tobytes(), x.weight.dtype, x.weight.shape) for x in (a, b)]
    return geometry and numbers[0] == numbers[1]


class TestLift:
    """The inverse."""

    @settings(max_examples=100)
    @given(conv=stripe_convs())
    def test_lift_undoes_lower(self, conv: StripeConv) -> None:
        """The lifted convolution is the one that was lowered, also by way of bytes, and lowers to the same bytes."""
        model = conv_model(conv)
        lower(model, broken)
        first = to_bytes(model)
        for restored in (lift(copied(model)), lift(from_bytes(first))):
            ((_, found),) = iterate_stripe_convs(restored.graph)
            assert same(found, conv)
            lower(restored, broken)
            assert to_bytes(restored) == first

    def test_a_changed_weight_is_lifted_as_changed(self) -> None:
        """The lift reads the rows that are there: one altered weight shows in the lifted convolution."""
        conv = random_conv(np.ones((2, 3, 3), bool))
        model = conv_model(conv)
        lower(model, broken)
        rows = model.graph.initializers["conv/weight"]
        altered = np.array(rows.const_value.numpy())  # type: ignore[union-attr]
        altered[4, 0] += 1
        rows.const_value = ir.tensor(altered, name=rows.name)
        ((_, found),) = iterate_stripe_convs(lift(model).graph)
        assert not same(found, conv)
        assert np.count_nonzero(found.weight != conv.weight) == 1

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_real_models(self, network: str, request: pytest.FixtureRequest) -> None:
        """A pruned network lifts to plain convolutions and lowers again to the identical file."""
        pruned: Pruned = request.getfixturevalue(network)
        compact = compact_from_portable(pruned.content)
        assert not {"Slice", "Gather", "Split"} & set(ops(compact))
        assert planned_bytes(compact, plan_of(pruned.content), multiple_of(pruned.content)) == pruned.content

    def test_dense_layers_stay(self) -> None:
        """A model in which nothing was broken is lifted to itself."""
        model = conv_model(random_conv(np.ones((2, 3, 3), bool)))
        lower(model, lambda _: "dense")
        before = to_bytes(model)
        assert to_bytes(lift(model)) == before


class TestLower:
    """Replacing the nodes of a graph."""

    def model(self) -> ir.Model:
        """Return three layers that share weights; the first is an output too, the last has no bias."""
        rng = np.random.default_rng(0)
        return marked(
            model_from_text(
                f"h = Conv <{PADS}> (x, w0, b) r = Relu (h) g = Conv <{PADS}> (r, w1) y = Conv <{PADS}> (g, w1)",
                y="double[N, 8, H, W] h, double[N, 8, P, Q] y",
                w0=weights(rng, 8, 3, 3, 3, dead=[2]),
                w1=weights(rng, 8, 8, 3, 3, dead=[1, 5]),
                b=rng.normal(size=8),
            )
        )

    @pytest.mark.parametrize("name", LOWERINGS)
    def test_function_outputs_and_names_stay(self, name: str) -> None:
        """Shared weights, a Conv without bias and one whose output is a graph output keep function and names."""
        before = self.model()
        after = copied(before)
        lower(after, lambda conv: name if LOWERINGS[name].why_not(conv) is None else "dense")
        x = np.random.default_rng(1).normal(size=(2, 3, 6, 5))
        assert furthest(before, after, x) < 1e-9
        written = {
            n.metadata_props[LAYER]: n.metadata_props[LOWERING] for n in after.graph if LOWERING in n.metadata_props
        }
        assert list(written) == ["conv0", "conv1", "conv2"]
        assert set(written.values()) <= {name, "dense"}
        onnx.checker.check_model(ir.to_proto(after), full_check=True)

    def test_no_weight_is_left_behind(self) -> None:
        """Initializers that nothing reads any more are gone."""
        model = self.model()
        lower(model, broken)
        read = {value.name for node in model.graph for value in node.inputs if value is not None}
        assert set(model.graph.initializers) <= read

    def test_metadata(self) -> None:
        """Every node names its layer; the last one of each layer also its lowering and the filters that are left."""
        model = self.model()
        before = {node.name: node.metadata_props[FILTERS] for node, _ in iterate_stripe_convs(model.graph)}
        lower(model, broken)
        last = {node.metadata_props[LAYER]: node for node in model.graph if LAYER in node.metadata_props}
        assert {name: node.metadata_props[FILTERS] for name, node in last.items()} == before
        assert {node.metadata_props[LOWERING] for node in last.values()} == {"pad-slice-add"}
        assert sum(LOWERING in node.metadata_props for node in model.graph) == len(last)

    @pytest.mark.parametrize("taken", ["conv0/conv", "conv0/chunks.0", "conv0/weight", "conv0/tap_0_0_starts"])
    def test_names_that_the_graph_has_already(self, taken: str) -> None:
        """A tensor of the user's that bears a name of ours does not make the file invalid."""
        before = self.model()
        after = copied(before)
        relu = next(node for node in after.graph if node.op_type == "Relu")
        relu.outputs[0].name = taken
        lower(after, broken)
        onnx.checker.check_model(ir.to_proto(after), full_check=True)
        assert furthest(before, after, np.random.default_rng(1).normal(size=(1, 3, 5, 5))) < 1e-9

    def test_unknown_lowering(self) -> None:
        """A name that is no lowering is refused with the ones there are."""
        with pytest.raises(LoweringError, match="'magic'; there are: dense, pad-slice-add"):
            lower(self.model(), lambda _: "magic")

    def test_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lowering that refuses a layer is not forced on it: the error names both and says why."""
        monkeypatch.setitem(LOWERINGS, "pad-slice-add", LoweringDouble(reason="too small", name="pad-slice-add"))
        with pytest.raises(LoweringError, match="conv0 cannot be written as pad-slice-add: too small"):
            lower(self.model(), broken)

    def test_grouped_convolutions_stay(self) -> None:
        """A grouped or depthwise convolution is no StripeConv and is left as it is."""
        rng = np.random.default_rng(0)
        model = model_from_text(f"y = Conv <group = 3, {PADS}> (x, w)", w=weights(rng, 6, 1, 3, 3))
        lower(model, broken)
        assert ops(model) == ["Conv"]

    def test_depthwise_convolutions_of_one_channel_stay(self) -> None:
        """What pruning leaves of two depthwise layers, one channel each, is group 1 but no layer with a name."""
        rng = np.random.default_rng(0)
        body = "".join(f"h{i} = Conv <group = 1, {PADS}> ({'x' if i == 0 else f'h{i - 1}'}, w{i}) " for i in range(2))
        model = model_from_text(
            f"{body} y = Relu (h1)", x="double[N, 1, H, W] x", **{f"w{i}": weights(rng, 1, 1, 3, 3) for i in range(2)}
        )
        lower(model, broken)
        assert ops(model) == ["Conv", "Conv", "Relu"]


def nameless(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Write two nodes of which none says what it holds."""
    return builder.op("Neg", [builder.conv(x, -conv.weight, "conv", bias=-conv.bias, attributes=SAME)], "neg")


def inner(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Return the output of a node that is not the last one."""
    y = ShiftSum().emit(builder, x, conv)
    builder.op("Relu", [y], "relu")
    return y


def a_bias_too_many(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """State each bias twice."""
    for _ in range(2):
        y = ShiftSum().emit(builder, x, conv)
    return y


def a_weight_off(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Hold another weight than the layer's."""
    weight = conv.weight.copy()
    weight[0, 0, 1, 1] += 1
    return ShiftSum().emit(builder, x, dataclasses.replace(conv, weight=weight))


SAME = {"pads": (1, 1, 1, 1)}


class TestPromises:
    """What `Lowering` promises is asserted where a layer is written: a defect of ours, found at once."""

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (nameless, "no node of conv states what it holds"),
            (inner, "the output of conv is not that of its last node"),
            (a_weight_off, "the nodes of conv do not give back its weight"),
        ],
    )
    def test_broken(self, write: Emit, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """By name of the lowering and of the layer."""
        monkeypatch.setitem(LOWERINGS, "double", LoweringDouble(write))
        with pytest.raises(AssertionError, match=f"double: {message}"):
            lower(conv_model(random_conv(np.ones((2, 3, 3), bool), **SAME)), lambda _: "double")

    def test_each_bias_is_held_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Twice is refused as none is."""
        monkeypatch.setitem(LOWERINGS, "double", LoweringDouble(a_bias_too_many))
        with pytest.raises(ValueError, match="expected the bias of each filter once"):
            lower(conv_model(random_conv(np.ones((2, 3, 3), bool), **SAME)), lambda _: "double")


class TestDamagedMetadata:
    """Metadata that do not fit the weights are one clear error of ours, whatever lowering wrote them."""

    @pytest.mark.parametrize("name", ["pad-slice-add", "shift-sum", "cropped"])
    @pytest.mark.parametrize("damage", ["{}", "[", '{"stripes": [0]}'])
    def test_is_told(self, name: str, damage: str) -> None:
        """One line that says what to do."""
        model = conv_model(random_conv(np.ones((2, 3, 3), bool), **SAME))
        lower(model, lambda _: name)
        for node in model.graph:
            if GEOMETRY in node.metadata_props:
                node.metadata_props[GEOMETRY] = damage
        with pytest.raises(ModelError, match="metadata is damaged"):
            lift(model)


class TestSimplifier:
    """onnx-simplifier on our output."""

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_finds_nothing_left_to_do(self, network: str, request: pytest.FixtureRequest) -> None:
        """A pruned network has as many nodes after onnx-simplifier as before."""
        import onnxsim

        proto = onnx.ModelProto.FromString(request.getfixturevalue(network).content)
        simplified, equal = onnxsim.simplify(proto)
        assert equal
        assert sorted(n.op_type for n in simplified.graph.node) == sorted(n.op_type for n in proto.graph.node)

    def test_would_be_seen(self) -> None:
        """The comparison above sees a node that can go."""
        import onnxsim

        rng = np.random.default_rng(0)
        model = model_from_text(f"h = Conv <{PADS}> (x, w0) i = Identity (h) y = Relu (i)", w0=weights(rng, 8, 3, 3, 3))
        simplified, _ = onnxsim.simplify(ir.to_proto(to_float32(model)))
        assert len(simplified.graph.node) == 2
