"""All passes together keep the function of any network, and take away what is dead."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from real_networks import RESNET, Exported, Pruned
from small_models import copied, from_bytes, furthest, marked, model_from_text, to_bytes, weight_shapes

from swp_export.graph import pipeline
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.pipeline import PASSES, compact
from swp_export.lowerings.lower import lower
from swp_export.runtime.session import open_session

SIZE = (6, 5)


class RandomNetwork:
    """Writes a random small network, sequential or residual, in float64, with random skeletons and constants."""

    def __init__(self, seed: int, kinds: list[str], live: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.live = live
        self.lines: list[str] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.channels = 3
        value = self.conv("x", int(self.rng.integers(2, 7)))
        for kind in kinds:
            value = getattr(self, kind)(value)
        self.head(value)

    def model(self) -> ir.Model:
        """Return the network as a graph, its convolutions marked."""
        return marked(
            model_from_text(
                " ".join(self.lines), x=f"double[N, 3, {SIZE[0]}, {SIZE[1]}] x", y="double[N, 3] y", **self.tensors
            )
        )

    def emit(self, operator: str, attributes: str, *inputs: str) -> str:
        """Write one node and return its output."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {operator} {f'<{attributes}>' if attributes else ''} ({', '.join(inputs)})")
        return name

    def tensor(self, array: np.ndarray) -> str:
        """Store a constant and return its name."""
        name = f"t{len(self.tensors)}"
        self.tensors[name] = array
        return name

    def conv(self, value: str, filters: int) -> str:
        """Write a layer in which stripes, filters or all is dead at random; biases are zero, negative or positive."""
        kernel = tuple(int(k) for k in self.rng.integers(1, 4, size=2))
        weight = self.rng.normal(size=(filters, self.channels, *kernel))
        weight *= self.rng.random((filters, 1, *kernel)) < self.live
        weight[self.rng.random(filters) < 0.3] = 0
        if self.rng.random() < 0.15:
            weight[:] = 0
        bias = self.rng.normal(size=filters) * (self.rng.random(filters) < 0.7)
        # Odd kernels keep the size, even ones shift: pads are as asymmetric as they must be.
        pads = [kernel[0] // 2, kernel[1] // 2, (kernel[0] - 1) // 2, (kernel[1] - 1) // 2]
        self.channels = filters
        inputs = [value, self.tensor(weight)] + ([self.tensor(bias)] if self.rng.random() < 0.8 else [])
        return self.emit("Conv", f"pads = {pads}", *inputs)

    def layer(self, value: str) -> str:
        """Write a layer and its Relu."""
        return self.emit("Relu", "", self.conv(value, int(self.rng.integers(1, 7))))

    def residual(self, value: str) -> str:
        """Write a residual block with an identity shortcut, its operands in either order."""
        width = self.channels
        branch = self.conv(self.layer(value), width)
        operands = [branch, value] if self.rng.random() < 0.5 else [value, branch]
        return self.emit("Relu", "", self.emit("Add", "", *operands))

    def projected(self, value: str) -> str:
        """Write a residual block with a convolution as shortcut."""
        width, before = int(self.rng.integers(1, 7)), self.channels
        branch = self.conv(self.layer(value), width)
        self.channels = before
        return self.emit("Relu", "", self.emit("Add", "", branch, self.conv(value, width)))

    def concat(self, value: str) -> str:
        """Write two layers side by side."""
        before = self.channels
        left = self.layer(value)
        width, self.channels = self.channels, before
        right = self.layer(value)
        self.channels += width
        return self.emit("Concat", "axis = 1", left, right)

    def depthwise(self, value: str) -> str:
        """Write a depthwise layer."""
        weight = self.rng.normal(size=(self.channels, 1, 3, 3)) * (self.rng.random((self.channels, 1, 3, 3)) < 0.7)
        return self.emit("Conv", f"group = {self.channels}, pads = [1, 1, 1, 1]", value, self.tensor(weight))

    def norm(self, value: str) -> str:
        """Write a BatchNormalization."""
        scale, bias, mean = (self.tensor(self.rng.normal(size=self.channels)) for _ in range(3))
        variance = self.tensor(self.rng.uniform(0.5, 2, size=self.channels))
        return self.emit("BatchNormalization", "", value, scale, bias, mean, variance)

    def gate(self, value: str) -> str:
        """Write an operation with a constant per channel."""
        constant = self.rng.normal(size=(self.channels, 1, 1)) * (self.rng.random((self.channels, 1, 1)) < 0.8)
        return self.emit(str(self.rng.choice(["Mul", "Add", "Sub"])), "", value, self.tensor(constant))

    def squeeze(self, value: str) -> str:
        """Write a gate that is computed from the mean of each channel."""
        width = self.channels
        attention = self.emit("Sigmoid", "", self.conv(self.emit("GlobalAveragePool", "", value), width))
        # The attention map keeps 1x1 whatever kernel was drawn, since every layer keeps the size.
        return self.emit("Mul", "", value, attention)

    def pool(self, value: str) -> str:
        """Write a pool that keeps the size."""
        operator = str(self.rng.choice(["MaxPool", "AveragePool"]))
        counted = f", count_include_pad = {self.rng.integers(2)}" if operator == "AveragePool" else ""
        return self.emit(operator, f"kernel_shape = [3, 3], pads = [1, 1, 1, 1]{counted}", value)

    def shuffle(self, value: str) -> str:
        """Write an operator that mixes channels."""
        return self.emit("Softmax", "axis = 1", value)

    def head(self, value: str) -> None:
        """Write a classifier of the pooled or of the whole map, in any of its forms."""
        positions = 1
        if self.rng.random() < 0.5:
            value = self.emit("GlobalAveragePool", "", value)
        else:
            positions = SIZE[0] * SIZE[1]
        value = self.emit("Flatten", "", value)
        columns = self.channels * positions
        kind = self.rng.integers(3)
        if kind == 0:
            value = self.emit("MatMul", "", value, self.tensor(self.rng.normal(size=(columns, 3))))
        else:
            shape = (columns, 3) if kind == 1 else (3, columns)
            bias = self.tensor(self.rng.normal(size=3))
            value = self.emit(
                "Gemm", "" if kind == 1 else "transB = 1", value, self.tensor(self.rng.normal(size=shape)), bias
            )
        self.lines.append(f"y = Identity ({value})")


KINDS = ["layer", "residual", "projected", "concat", "depthwise", "norm", "gate", "squeeze", "pool", "shuffle"]
networks = st.builds(
    RandomNetwork,
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5),
    live=st.sampled_from([0.1, 0.4, 0.8]),
)


def scale(model: ir.Model, x: np.ndarray) -> float:
    """Return the size of the outputs, at least 1."""
    from swp_export.graph.float64.model import Float64Model

    return max(1.0, float(np.abs(Float64Model(model).run(x)["y"]).max()))


@settings(max_examples=150)
@given(network=networks)
@example(network=RandomNetwork(2010071050, ["gate", "residual", "concat"], 0.3))
def test_compact_keeps_the_function(network: RandomNetwork) -> None:
    """Whatever the network and whatever is dead in it, whole layers included, the outputs are the same in float64."""
    before = network.model()
    after = compact(copied(before))
    x = np.random.default_rng(1).normal(size=(2, 3, *SIZE))
    assert furthest(before, after, x) < 1e-9 * scale(before, x)
    assert furthest(before, after, 0 * x) < 1e-9 * scale(before, 0 * x)
    onnx.checker.check_model(ir.to_proto(after))


@settings(max_examples=40)
@given(network=networks)
def test_each_pass_keeps_the_function(network: RandomNetwork) -> None:
    """The model is valid and the same between any two passes: a wrong one is found by itself."""
    model = network.model()
    x = np.random.default_rng(1).normal(size=(2, 3, *SIZE))
    limit = 1e-9 * scale(model, x)
    for make in PASSES:
        before = copied(model)
        make()(model)
        assert furthest(before, model, x) < limit, make.__name__


@settings(max_examples=25)
@given(network=networks)
def test_compact_is_idempotent(network: RandomNetwork) -> None:
    """What is compact stays as it is."""
    once = compact(network.model())
    assert to_bytes(compact(copied(once))) == to_bytes(once)


def test_the_comparison_sees_a_wrong_pass() -> None:
    """A pass that drops a channel which is read changes outputs by far more than the limit above."""
    network = RandomNetwork(seed=3, kinds=["layer", "residual"], live=0.8)
    before = network.model()
    wrong = copied(before)
    weight = next(v for v in wrong.graph.initializers.values() if v.shape is not None and len(v.shape) == 4)
    array = np.array(weight.const_value.numpy())  # type: ignore[union-attr]
    array[np.flatnonzero(array.any(axis=(1, 2, 3)))[0]] = 0
    weight.const_value = ir.tensor(array, name=weight.name)
    assert furthest(before, wrong, np.random.default_rng(1).normal(size=(2, 3, *SIZE))) > 1e-6


class TestDeadBlocks:
    """ResNet56 at thresholds at which whole residual blocks die."""

    def branches(self, model: ir.Model) -> dict[str, set[str]]:
        """Return the convolutions of each residual branch that are left."""
        found: dict[str, set[str]] = {}
        for _, conv in iterate_stripe_convs(model.graph):
            block, _, part = conv.name.rpartition(".")
            if part in {"conv1", "conv2"} and block:
                found.setdefault(block, set()).add(part)
        return found

    def logits(self, model: ir.Model) -> np.ndarray:
        """Return what ONNX Runtime computes on the recorded images."""
        images = np.repeat(np.load(RESNET / "samples.npz")["images"], 3, axis=1)
        return open_session(to_bytes(model)).run({"input": images})["output"]

    @pytest.mark.parametrize(("threshold", "dead", "gone"), [("0.1", 16, 15), ("0.2", 25, 24)])
    def test_they_disappear(self, threshold: str, dead: int, gone: int, request: pytest.FixtureRequest) -> None:
        """A block without a live stripe in conv1 or conv2 leaves no convolution of its branch.

        One block is left at either threshold: there conv1 is dead, but conv2 reads the constants that it leaves behind
        zero padding, which no bias can replace. Of its conv1 one filter without a live stripe is left.
        """
        exported: Exported = request.getfixturevalue(f"resnet56_at_{threshold.replace('.', '_')}")
        before, after = from_bytes(exported.dense), compact(from_bytes(exported.dense))
        lost = {
            conv.name.rpartition(".")[0]
            for _, conv in iterate_stripe_convs(before.graph)
            if not conv.skeleton.live_stripes
        }
        assert len(lost) == dead
        left = lost & self.branches(after).keys()
        assert len(lost - left) == gone
        for _, conv in iterate_stripe_convs(after.graph):
            if conv.name.rpartition(".")[0] in left and conv.name.endswith("conv1"):
                assert (conv.filters, conv.skeleton.live_stripes) == (1, 0)

    def test_logits(self, resnet56_at_0_1: Exported, resnet56_at_0_2: Exported) -> None:
        """The compact network computes the recorded logits of its threshold, in float32, and not those of the other."""
        recorded = np.load(RESNET / "samples.npz")
        found = {
            "logits_reference_0.1": self.logits(compact(from_bytes(resnet56_at_0_1.dense))),
            "logits_reference_0.2": self.logits(compact(from_bytes(resnet56_at_0_2.dense))),
        }
        for key, other in zip(found, reversed(found), strict=True):
            assert np.abs(found[key] - recorded[key]).max() < 1e-5
            assert np.abs(found[key] - recorded[other]).max() > 1e-2

    def test_trunk_is_pruned_as_one(self, resnet56: Pruned) -> None:
        """In the compact network every Add has two operands of the same channels."""
        model = compact(from_bytes(resnet56.dense))
        widths = [
            [value.shape[1] for value in node.inputs if value is not None and value.shape is not None]
            for node in model.graph
            if node.op_type == "Add" and not any(v is not None and v.is_initializer() for v in node.inputs)
        ]
        assert len(widths) == 27
        assert all(left == right for left, right in widths)

    def test_channels_are_removed(self, resnet56: Pruned) -> None:
        """Dead filters go with the columns that read them: the weights shrink, the skeletons lose no live stripe."""
        before, after = from_bytes(resnet56.dense), compact(from_bytes(resnet56.dense))
        numbers = [sum(np.prod(shape) for shape in weight_shapes(model)) for model in (before, after)]
        assert numbers[1] < 0.8 * numbers[0]
        live = {conv.name: conv.skeleton.live_stripes for _, conv in iterate_stripe_convs(before.graph)}
        for _, conv in iterate_stripe_convs(after.graph):
            assert conv.skeleton.live_stripes <= live[conv.name]


@settings(max_examples=60)
@given(network=networks)
@example(network=RandomNetwork(640113672, ["projected", "depthwise", "depthwise"], 0.6))
def test_lowered_networks_compute_the_same(network: RandomNetwork) -> None:
    """A compact network of which every layer is broken into stripes computes the same too."""
    before = network.model()
    after = compact(copied(before))
    lower(after, lambda conv: "dense" if conv.kernel == (1, 1) else "pad-slice-add")
    x = np.random.default_rng(1).normal(size=(2, 3, *SIZE))
    assert furthest(before, after, x) < 1e-9 * scale(before, x)
    onnx.checker.check_model(ir.to_proto(after), full_check=True)


@pytest.mark.parametrize("rounds", [1, 5])
def test_rounds_go_on_while_anything_changes(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """Passes run again for as long as one of them changes something, and once more, to see that nothing does."""
    calls: list[int] = []

    class Changing(ir.passes.InPlacePass):
        def call(self, model: ir.Model) -> ir.passes.PassResult:
            calls.append(len(calls))
            return ir.passes.PassResult(model, len(calls) <= rounds)

    monkeypatch.setattr(pipeline, "PASSES", (Changing,))
    pipeline.compact(model_from_text("y = Relu (x)"))
    assert len(calls) == rounds + 1
