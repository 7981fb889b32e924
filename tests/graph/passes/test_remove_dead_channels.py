"""Channels that nothing reads go from every tensor that carries them, and no others."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, marked, model_from_text, ops, weight_shapes, weights

from swp_export.graph.metadata import FILTERS, decode_filters
from swp_export.graph.passes.remove_dead_channels import RemoveDeadChannels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 6))
UNREAD = (0, 3, 7)


def second(filters: int = 4, channels: int = 8, unread: tuple[int, ...] = UNREAD) -> np.ndarray:
    """Return a weight that reads no channel of `unread`."""
    weight = RNG.normal(size=(filters, channels, 3, 3))
    weight[:, list(unread)] = 0
    return weight


def cut(before: ir.Model) -> ir.Model:
    """Return the model after the pass, once it is known to compute the same and to be valid."""
    after = RemoveDeadChannels()(copied(before)).model
    assert furthest(before, after, X) < 1e-9
    onnx.checker.check_model(ir.to_proto(after))
    return after


def build(
    body: str, y: str = "double[N, M, P, Q] y", x: str = "double[N, 3, 6, 6] x", **tensors: np.ndarray
) -> ir.Model:
    """Return the model of `body`, with the tensors that it names."""
    tensors = {"w": weights(RNG, 8, 3, 3, 3), "b": RNG.normal(size=8), "v": second()} | tensors
    used = {name: array for name, array in tensors.items() if f", {name}" in body or f"({name}," in body}
    return marked(model_from_text(body, x=x, y=y, **used))


@pytest.mark.parametrize(
    ("between", "tensors"),
    [
        ("r = Relu (h)", {}),
        ("r = Clip (h, low, high)", {"low": np.array(0.0), "high": np.array(6.0)}),
        (f"r = MaxPool <kernel_shape = [3, 3], {PADS}> (h)", {}),
        (f"r = AveragePool <kernel_shape = [3, 3], {PADS}, count_include_pad = 1> (h)", {}),
        ("r = Mul (h, k)", {"k": RNG.normal(size=(8, 1, 1))}),
        ("r = Add (k, h)", {"k": RNG.normal(size=(1, 8, 1, 1))}),
        (f"r = Conv <group = 8, {PADS}> (h, k, b)", {"k": weights(RNG, 8, 1, 3, 3)}),
        ("r = BatchNormalization (h, k, k, k, k)", {"k": RNG.uniform(1, 2, size=8)}),
    ],
)
def test_channels_go_from_all_that_carries_them(between: str, tensors: dict[str, np.ndarray]) -> None:
    """Three unread channels go from the producer, from its bias, from what is between, and from the reader."""
    after = cut(build(f"h = Conv <{PADS}> (x, w, b) {between} y = Conv <{PADS}> (r, v)", **tensors))
    shapes = weight_shapes(after)
    assert shapes[0] == [5, 3, 3, 3]
    assert shapes[-1] == [4, 5, 3, 3]
    kept = decode_filters(after.graph[0].metadata_props[FILTERS])
    assert np.flatnonzero(~kept).tolist() == list(UNREAD)


def test_channels_that_are_read_stay() -> None:
    """With one weight that is not exactly zero the channel stays, however small the weight."""
    v = second()
    v[2, 3, 1, 1] = 1e-30
    after = cut(build(f"h = Conv <{PADS}> (x, w, b) y = Conv <{PADS}> (h, v)", v=v))
    assert weight_shapes(after)[0] == [6, 3, 3, 3]


def test_residual_trunk_keeps_aligned_channels() -> None:
    """Both operands of an Add lose the same channels, and only those that nobody needs."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) r = Relu (h) d = Conv <{PADS}> (r, u) s = Add (d, r) y = Conv <{PADS}> (s, v)",
        u=second(8, 8, (0, 1)),
    )
    after = cut(before)
    # 0 is read by neither; 3 and 7 are read by the branch, 1 by the last layer.
    assert weight_shapes(after) == [[7, 3, 3, 3], [7, 7, 3, 3], [4, 7, 3, 3]]


def test_concat() -> None:
    """Each input of a Concat loses its own channels."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) g = Conv <{PADS}> (x, w) c = Concat <axis = 1> (h, g) y = Conv <{PADS}> (c, v)",
        v=second(4, 16, (0, 9, 10)),
    )
    assert weight_shapes(cut(before)) == [[7, 3, 3, 3], [6, 3, 3, 3], [4, 13, 3, 3]]


@pytest.mark.parametrize(
    ("head", "shape"),
    [("Gemm (f, m, c)", (288, 4)), ("Gemm <transB = 1> (f, m, c)", (4, 288)), ("MatMul (f, m)", (288, 4))],
)
def test_flatten_of_maps(head: str, shape: tuple[int, int]) -> None:
    """Behind a Flatten a channel is H*W columns of the classifier, whichever way round its weight lies."""
    matrix = RNG.normal(size=shape)
    by_channel = matrix.reshape(8, 36, 4) if shape[0] == 288 else matrix.reshape(4, 8, 36)
    (by_channel if shape[0] == 288 else by_channel.transpose(1, 0, 2))[list(UNREAD)] = 0
    before = build(
        f"h = Conv <{PADS}> (x, w, b) f = Flatten (h) y = {head}", y="double[N, 4] y", m=matrix, c=RNG.normal(size=4)
    )
    assert weight_shapes(cut(before))[0] == [5, 3, 3, 3]


def test_operators_that_are_not_followed_pin() -> None:
    """A channel that enters a Softmax over channels counts for all others: none goes."""
    before = build(f"h = Conv <{PADS}> (x, w, b) u = Softmax <axis = 1> (h) y = Conv <{PADS}> (u, v)")
    assert weight_shapes(cut(before)) == weight_shapes(before)


def test_subgraphs_pin() -> None:
    """What a branch of an If reads is read."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) y = If (c) <then_branch = t () => (double[N, 8, P, Q] a) {{a = Relu (h)}}, "
        "else_branch = e () => (double[N, 8, P, Q] b1) {b1 = Neg (h)}>"
    )
    before.graph.register_initializer(
        ir.Value(
            name="c",
            shape=ir.Shape([]),
            type=ir.TensorType(ir.DataType.BOOL),
            const_value=ir.tensor(np.array(True), name="c"),
        )
    )
    next(node for node in before.graph if node.op_type == "If").replace_input_with(0, before.graph.initializers["c"])
    assert weight_shapes(cut(before)) == [[8, 3, 3, 3]]


def test_graph_outputs_pin() -> None:
    """A convolution that is a graph output keeps all channels, though its other reader ignores some."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) y = Conv <{PADS}> (h, v)", y="double[N, 8, 6, 6] h, double[N, 4, P, Q] y"
    )
    assert weight_shapes(cut(before)) == weight_shapes(before)


def test_last_channel_stays() -> None:
    """ONNX has no maps without channels: of a tensor that nobody reads one channel is left."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) r = Relu (h) y = Conv <{PADS}> (r, v, c)", v=np.zeros((4, 8, 3, 3)), c=np.ones(4)
    )
    assert weight_shapes(cut(before)) == [[1, 3, 3, 3], [4, 1, 3, 3]]


def test_dead_rows_read_nothing() -> None:
    """What only an unneeded filter reads is not needed, however long the chain."""
    u = second(8, 8, ())
    u[1:, 2] = 0  # channel 2 of the first layer is read by filter 0 of the second only, which nobody reads
    before = build(f"h = Conv <{PADS}> (x, w, b) g = Conv <{PADS}> (h, u) y = Conv <{PADS}> (g, v)", u=u)
    assert weight_shapes(cut(before)) == [[7, 3, 3, 3], [5, 7, 3, 3], [4, 5, 3, 3]]
    assert ops(cut(before)) == ["Conv", "Conv", "Conv"]


def test_shared_weight_is_cut_where_it_may() -> None:
    """Two convolutions that share a weight are cut each in its own way."""
    before = build(
        f"h = Conv <{PADS}> (x, w, b) g = Conv <{PADS}> (x, w) q = Conv <{PADS}> (h, v) p = GlobalMaxPool (g) "
        "y = Conv (p, one) z = GlobalMaxPool (q)",
        y="double[N, 8, 1, 1] y, double[N, 4, 1, 1] z",
        one=weights(RNG, 8, 8, 1, 1),
    )
    assert weight_shapes(cut(before)) == [[5, 3, 3, 3], [8, 3, 3, 3], [4, 5, 3, 3], [8, 8, 1, 1]]
