"""Channels in another order, with zeros in between: the same function, with every constant rearranged alike."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, marked, model_from_text, weight_shapes, weights

from swp_export.errors import ModelError
from swp_export.graph.constants import array_of
from swp_export.graph.metadata import FILTERS, decode_filters, decode_order, encode_filters, encode_order
from swp_export.graph.passes.order_channels import OrderChannels, channel_groups, free_layers

ORDER = np.array([3, -1, 0, 4, 1, -1, 2, -1])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 6))


def chain(between: str, read: str = f"y = Conv <{PADS}> (m, w1)", **tensors: np.ndarray) -> ir.Model:
    """Return Conv -> `between` (h to m) -> Conv."""
    rng = np.random.default_rng(1)
    tensors.setdefault("w1", weights(rng, 4, 5, 3, 3))
    return marked(
        model_from_text(
            f"h = Conv <{PADS}> (x, w0, b) {between} {read}",
            w0=weights(rng, 5, 3, 3, 3),
            b=rng.normal(size=5),
            **tensors,
        )
    )


def ordered(model: ir.Model, **orders: np.ndarray) -> ir.Model:
    """Return a copy of `model` with the channels of the named layers ordered."""
    after = copied(model)
    OrderChannels(orders)(after)
    return after


BETWEEN = {
    "relu": ("m = Relu (h)", {}),
    "sigmoid, not zero at zero": ("m = Sigmoid (h)", {}),
    "pool": ("m = MaxPool <kernel_shape = [2, 2]> (h)", {}),
    "batch norm": (
        "m = BatchNormalization (h, s, s, t, v)",
        {"s": RNG.normal(size=5), "t": RNG.normal(size=5), "v": RNG.random(5) + 0.5},
    ),
    "depthwise": (f"m = Conv <group = 5, {PADS}> (h, d, t)", {"d": RNG.normal(size=(5, 1, 3, 3)), "t": np.ones(5)}),
    "division by constants": ("m = Div (h, c)", {"c": RNG.random((5, 1, 1)) + 1}),
    "addition of constants": ("m = Add (h, c)", {"c": RNG.normal(size=(5, 1, 1))}),
    "with itself": ("s = Sigmoid (h) m = Mul (h, s)", {}),
    "beside another": (
        f"g = Conv <{PADS}> (x, wg) m = Concat <axis = 1> (g, h)",
        {"wg": RNG.normal(size=(2, 3, 3, 3)), "w1": RNG.normal(size=(4, 7, 3, 3))},
    ),
}


class TestFunction:
    """The model computes what it did."""

    @pytest.mark.parametrize("case", BETWEEN)
    def test_between_two_convolutions(self, case: str) -> None:
        """Whatever channel-wise operator is in between."""
        between, tensors = BETWEEN[case]
        before = chain(between, **tensors)
        after = ordered(before, conv0=ORDER)
        assert weight_shapes(after)[0][0] == 8
        assert furthest(before, after, X) < 1e-10

    def test_a_single_channel(self) -> None:
        """Constants of the only channel are those of one, not of all: they are filled up too."""
        numbers = {name: np.array([value]) for name, value in zip("sbmv", (2.0, 1.0, 0.5, 3.0), strict=True)}
        body = f"h = Conv <{PADS}> (x, w0) n = BatchNormalization (h, s, b, m, v) y = Conv (n, w1)"
        before = marked(model_from_text(body, w0=weights(RNG, 1, 3, 3, 3), w1=weights(RNG, 4, 1, 1, 1), **numbers))
        after = ordered(before, conv0=np.array([0, -1, -1]))
        sizes = [array.size for array in map(array_of, after.graph[1].inputs) if array is not None]
        assert sizes == [3] * 4
        assert furthest(before, after, X) < 1e-10

    def test_a_single_channel_twice(self) -> None:
        """Where a tensor of one channel is repeated, its places could be taken for those of a Flatten: it stays."""
        body = f"h = Conv <{PADS}> (x, w0) m = Concat <axis = 1> (h, h) y = Conv (m, w1)"
        model = model_from_text(body, w0=weights(RNG, 1, 3, 3, 3), w1=weights(RNG, 4, 2, 1, 1))
        assert channel_groups(marked(model).graph) == []

    def test_and_back(self) -> None:
        """An order that leaves out the filters of zeros undoes one that filled up with them."""
        before = chain("m = Relu (h)")
        back = np.argsort(ORDER)[np.count_nonzero(ORDER < 0) :]
        after = ordered(ordered(before, conv0=ORDER), conv0=back)
        assert weight_shapes(after) == weight_shapes(before)
        for name, value in before.graph.initializers.items():
            assert np.array_equal(array_of(after.graph.initializers[name]), array_of(value))

    @pytest.mark.parametrize("read", ["y = Gemm (f, g)", "y = Gemm <transB = 1> (f, gt)", "y = MatMul (f, g)"])
    def test_through_a_flatten(self, read: str) -> None:
        """A classifier reads each channel several times."""
        g = np.random.default_rng(2).normal(size=(20, 3))
        rng = np.random.default_rng(1)
        before = marked(
            model_from_text(
                f"h = Conv (x, w0) f = Flatten (h) {read}",
                x="double[N, 3, 4, 4] x",
                y="double[N, 3] y",
                w0=weights(rng, 5, 3, 3, 3),
                g=g,
                gt=g.T.copy(),
            )
        )
        after = ordered(before, conv0=ORDER)
        assert furthest(before, after, X[:, :, :4, :4]) < 1e-10

    def test_oracle_sees_columns_left_behind(self) -> None:
        """Swapping two rows without their readers' columns is seen."""
        before = chain("m = Relu (h)")
        after = copied(before)
        weight = next(v for name, v in after.graph.initializers.items() if name == "w0")
        array = weight.const_value.numpy().copy()  # type: ignore[union-attr]
        array[[0, 1]] = array[[1, 0]]
        weight.const_value = ir.tensor(array, name="w0")
        assert furthest(before, after, X) > 1e-3


class TestFree:
    """Whose channels may be ordered."""

    def test_inner_convolution_but_not_the_output(self) -> None:
        """The graph's output has the order its user expects."""
        assert free_layers(chain("m = Relu (h)").graph) == {"conv0"}

    def test_residual(self) -> None:
        """Two convolutions that are added share their order, so neither has its own, but one holds for both."""
        model = marked(
            model_from_text(
                f"h = Conv <{PADS}> (x, w0) g = Conv <{PADS}> (x, w2) s = Add (h, g) y = Conv <{PADS}> (s, w1)",
                w0=weights(RNG, 5, 3, 3, 3),
                w1=weights(RNG, 5, 5, 3, 3),
                w2=weights(RNG, 5, 3, 3, 3),
            )
        )
        assert free_layers(model.graph) == set()
        assert channel_groups(model.graph) == [["conv0", "conv1"]]
        for name in ("conv0", "conv1"):
            after = ordered(model, **{name: ORDER})
            assert weight_shapes(after)[:2] == [[8, 3, 3, 3]] * 2
            assert furthest(model, after, X) < 1e-10

    def test_shared_in_part(self) -> None:
        """Two convolutions side by side, added to a third: no order of one of them holds for the others."""
        model = model_from_text(
            f"h = Conv <{PADS}> (x, w0) g = Conv <{PADS}> (x, w1) k = Conv <{PADS}> (x, w2)"
            f"c = Concat <axis = 1> (g, k) s = Add (h, c) y = Conv <{PADS}> (s, w3)",
            w0=weights(RNG, 5, 3, 3, 3),
            w1=weights(RNG, 2, 3, 3, 3),
            w2=weights(RNG, 3, 3, 3, 3),
            w3=weights(RNG, 5, 5, 3, 3),
        )
        assert channel_groups(marked(model).graph) == []

    @pytest.mark.parametrize("between", ["m = Softmax <axis = 1> (h)", "s = Relu (h) m = Div (h, s)", "m = Sqrt (h)"])
    def test_not_through_what_may_not_be_a_number(self, between: str) -> None:
        """An operator over channels pins them; 0/0 times a column of zeros would not be zero."""
        assert "conv0" not in free_layers(chain(between).graph)

    def test_refuses_what_is_not_free(self) -> None:
        """It is said, not done."""
        with pytest.raises(ValueError, match="conv1: the channels of this layer are not free"):
            ordered(chain("m = Relu (h)"), conv1=np.array([1, 0, 2, 3]))

    @pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 1, 2, 3, 3], [0, 1, 2, 3, 5]])
    def test_refuses_what_is_no_order(self, order: list[int]) -> None:
        """Each filter once."""
        with pytest.raises(ValueError, match="names each of the 5 filters once"):
            ordered(chain("m = Relu (h)"), conv0=np.array(order))


class TestFilters:
    """Which original filter each output is."""

    def test_follows_the_order(self) -> None:
        """Ordering a pruned layer composes the two."""
        model = chain("m = Relu (h)")
        node = model.graph[0]
        node.metadata_props[FILTERS] = encode_filters(np.array([1, 0, 1, 1, 0, 1, 1], bool))
        OrderChannels({"conv0": ORDER})(model)
        total, order = decode_order(node.metadata_props[FILTERS])
        assert total == 7
        assert order.tolist() == [5, -1, 0, 6, 2, -1, 3, -1]

    def test_text(self) -> None:
        """An ascending order is the text it always was; both decode."""
        kept = np.array([1, 0, 1, 1], bool)
        assert encode_order(4, np.array([0, 2, 3])) == encode_filters(kept) == "4:b0"
        assert encode_order(4, np.array([3, -1, 0, 2])) == "4:b0:3,-1,0,2"
        assert np.array_equal(decode_filters("4:b0:3,-1,0,2"), kept)
        assert decode_order("4:b0")[1].tolist() == [0, 2, 3]

    @pytest.mark.parametrize("text", ["4:b0:3,2", "4:b0:3,3,0,2", "4:b0:x", "4:b0:-2,0,2,3", "4:b0:0,2,3:", "4"])
    def test_damage(self, text: str) -> None:
        """What was not written by us is refused in one line."""
        with pytest.raises(ModelError, match="metadata is damaged"):
            decode_order(text)


def test_zeros_of_a_normalisation_without_epsilon() -> None:
    """A channel that fills up is not divided by zero, since nothing else keeps the variance from being it."""
    vectors = {"s": RNG.normal(size=5), "t": RNG.normal(size=5), "v": RNG.random(5) + 0.5}
    before = chain("m = BatchNormalization <epsilon = 0.0> (h, s, s, t, v)", **vectors)
    after = ordered(before, conv0=ORDER)
    assert furthest(before, after, X) < 1e-12


def test_zeros_beside_other_channels() -> None:
    """What fills up reads a column of zeros, also behind channels of others and where a Sigmoid makes it a half."""
    before = chain(
        f"g = Conv <{PADS}> (x, wg) c = Concat <axis = 1> (g, h) m = Sigmoid (c)",
        wg=RNG.normal(size=(6, 3, 3, 3)),
        w1=RNG.normal(size=(4, 11, 3, 3)),
    )
    assert furthest(before, ordered(before, conv0=ORDER), X) < 1e-10


def test_channels_that_are_there_twice_are_not_free() -> None:
    """Maps that a Concat puts behind themselves have no single place each."""
    model = chain("m = Concat <axis = 1> (h, h)", w1=RNG.normal(size=(4, 10, 3, 3)))
    assert "conv0" not in free_layers(model.graph)


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_a_filter_that_holds_a_constant_is_not_left_out(bias: float) -> None:
    """Only a filter of zeros, bias and all, may be missing in an order, and only where it is read times zero."""
    biases, weight, reader = RNG.normal(size=5), weights(RNG, 5, 3, 3, 3, dead=[2]), weights(RNG, 4, 5, 3, 3)
    biases[2], reader[:, 2] = bias, 0
    model = marked(
        model_from_text(
            f"h = Conv <{PADS}> (x, w0, b) m = Relu (h) y = Conv <{PADS}> (m, w1)", w0=weight, b=biases, w1=reader
        )
    )
    order = np.array([0, 1, 3, 4])
    if bias:
        with pytest.raises(ValueError, match="names each of the 5 filters once"):
            ordered(model, conv0=order)
    else:
        assert furthest(model, ordered(model, conv0=order), X) < 1e-10


def test_zeros_behind_a_flatten() -> None:
    """Each column of a channel that fills up is zero, also where a Sigmoid makes its map a half."""
    before = marked(
        model_from_text(
            "h = Conv (x, w0) m = Sigmoid (h) f = Flatten (m) y = MatMul (f, g)",
            x="double[N, 3, 4, 4] x",
            y="double[N, 3] y",
            w0=weights(RNG, 5, 3, 3, 3),
            g=RNG.normal(size=(20, 3)),
        )
    )
    assert furthest(before, ordered(before, conv0=ORDER), X[:, :, :4, :4]) < 1e-10
