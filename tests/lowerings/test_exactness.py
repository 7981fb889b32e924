"""Every lowering computes exactly what the convolution does, whatever its skeleton and geometry."""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import (
    conv_model,
    copied,
    ops,
    random_conv,
    smallest_size,
    stripe_convs,
    to_bytes,
    torch_conv,
)

from swp_export.errors import InputError
from swp_export.graph.constants import array_of
from swp_export.graph.float64.model import Float64Model
from swp_export.lowerings.lower import lower
from swp_export.runtime.session import open_session
from swp_export.stripes import StripeConv

EXACT = 1e-10
GEOMETRIES = [
    {},
    {"strides": (2, 2), "pads": (1, 1, 1, 1)},
    {"strides": (3, 1), "pads": (2, 0, 1, 3)},
    {"dilations": (2, 3), "pads": (2, 3, 2, 3)},
    {"strides": (2, 3), "dilations": (3, 2), "pads": (0, 4, 1, 0)},
]


def lowered(conv: StripeConv, name: str) -> ir.Model:
    """Return the model of one layer, written by that lowering."""
    model = conv_model(conv)
    lower(model, lambda _: name)
    return model


def error(conv: StripeConv, model: ir.Model, *, batch: int, size: tuple[int, int]) -> float:
    """Return how far `model` is from PyTorch's convolution in float64; infinite where the shapes differ."""
    x = np.random.default_rng(7).normal(size=(batch, conv.channels, *size))
    truth, found = torch_conv(conv, x), Float64Model(model).run(x)["y"]
    return float(np.abs(truth - found).max()) if truth.shape == found.shape else np.inf


def single(conv: StripeConv) -> StripeConv:
    """Return the layer in float32."""
    return dataclasses.replace(conv, weight=conv.weight.astype(np.float32), bias=conv.bias.astype(np.float32))


lowering = pytest.mark.parametrize("name", ["dense", "pad-slice-add"])  # test_forms has those that may refuse


class TestAgainstPyTorch:
    """The oracle is torch.nn.functional.conv2d of the masked weight."""

    @lowering
    @settings(max_examples=150)
    @given(conv=stripe_convs(), extra=st.tuples(st.integers(0, 5), st.integers(0, 5)), batch=st.integers(1, 3))
    def test_any_layer_in_float64(self, name: str, conv: StripeConv, extra: tuple[int, int], batch: int) -> None:
        """Any skeleton, kernel, stride, pads, dilation, batch and size, down to the smallest legal one."""
        height, width = smallest_size(conv)
        model = lowered(conv, name)
        assert error(conv, model, batch=batch, size=(height, width)) < EXACT
        assert error(conv, model, batch=1, size=(height + extra[0], width + extra[1])) < EXACT

    @lowering
    @settings(max_examples=40)
    @given(conv=stripe_convs(), extra=st.tuples(st.integers(0, 5), st.integers(0, 5)))
    def test_any_layer_in_onnx_runtime(self, name: str, conv: StripeConv, extra: tuple[int, int]) -> None:
        """ONNX Runtime runs it at any size too, to float32 accuracy, and full shape inference accepts the file."""
        conv = single(conv)
        content = to_bytes(lowered(conv, name))
        onnx.checker.check_model(content, full_check=True)
        height, width = smallest_size(conv)
        session = open_session(content)
        for size in ((height, width), (height + extra[0], width + extra[1])):
            x = np.random.default_rng(3).normal(size=(2, conv.channels, *size)).astype(np.float32)
            truth = torch_conv(conv, x.astype(np.float64))
            found = session.run({"x": x})["y"]
            assert found.shape == truth.shape
            assert np.abs(found - truth).max() <= 1e-5 * max(1, np.abs(truth).max())

    @lowering
    @pytest.mark.parametrize("geometry", GEOMETRIES)
    @pytest.mark.parametrize(
        "case", ["all live", "all dead", "dead tap", "one stripe", "centre only", "filters without stripes", "a row"]
    )
    def test_special_skeletons(self, name: str, case: str, geometry: dict[str, tuple[int, ...]]) -> None:
        """The skeletons that a careless lowering forgets."""
        mask = np.random.default_rng(1).random((5, 3, 3)) < 0.5
        if case in {"all live", "all dead"}:
            mask[:] = case == "all live"
        elif case == "dead tap":
            mask[:, 0, 1] = False
        elif case == "one stripe":
            mask[:] = False
            mask[3, 2, 0] = True
        elif case == "centre only":
            mask[:] = False
            mask[:, 1, 1] = True
        elif case == "filters without stripes":
            mask[[0, 3, 4]] = False
        else:
            mask[:, 1:] = False
        conv = random_conv(mask, **geometry)
        model = lowered(conv, name)
        for size in (smallest_size(conv), (9, 8)):
            assert error(conv, model, batch=2, size=size) < EXACT

    @lowering
    def test_kernel_larger_than_what_is_left_of_the_input(self, name: str) -> None:
        """A crop that is larger than the input is right too: 5x5 with only its first row live, on one row."""
        mask = np.zeros((2, 5, 5), bool)
        mask[:, 0] = True
        conv = random_conv(mask, pads=(2, 2, 2, 2))
        assert error(conv, lowered(conv, name), batch=1, size=(1, 4)) < EXACT


class TestTheOracleSees:
    """Each kind of mistake that a lowering can make leaves the tolerance."""

    conv = random_conv(np.random.default_rng(5).random((6, 3, 3)) < 0.4, channels=4, pads=(1, 1, 1, 1))

    def broken(self, initializer: str, change: Callable[[np.ndarray], None]) -> float:
        """Return the error after `change` of the first initializer whose name begins so."""
        model = lowered(self.conv, "pad-slice-add")
        value = next(v for name, v in model.graph.initializers.items() if name.startswith(f"conv/{initializer}"))
        array = np.array(array_of(value))
        change(array)
        value.const_value = ir.tensor(array, name=value.name)
        try:
            return error(self.conv, model, batch=1, size=(6, 6))
        except InputError:  # the shapes no longer fit each other
            return np.inf

    def test_unharmed(self) -> None:
        """Without a change the model is exact, so the tests below prove something."""
        assert self.broken("weight", lambda _: None) < EXACT

    def test_one_weight(self) -> None:
        """One weight of one stripe, off by a millionth."""

        def change(array: np.ndarray) -> None:
            array[2, 1] *= 1 + 1e-6

        assert self.broken("weight", change) > EXACT

    def test_swapped_rows_of_a_gather(self) -> None:
        """Two channels swapped in the order of a Gather."""

        def change(array: np.ndarray) -> None:
            array[[0, -1]] = array[[-1, 0]]

        assert self.broken("by_count_order", change) > 1e-3
        assert self.broken("in_order_order", change) > 1e-3

    def test_wrong_start_of_a_slice(self) -> None:
        """A tap that starts one row too late reads the wrong rows, or has another shape."""

        def change(array: np.ndarray) -> None:
            array[1] += 1

        assert self.broken("tap_", change) > 1e-3

    def test_stripe_at_a_neighbouring_tap(self) -> None:
        """One stripe moved to the next tap."""
        weight = self.conv.weight.copy()
        filter_, i, j = np.argwhere(self.conv.skeleton.mask & ~np.roll(self.conv.skeleton.mask, -1, axis=2))[0]
        weight[filter_, :, i, (j + 1) % 3] = weight[filter_, :, i, j]
        weight[filter_, :, i, j] = 0
        moved = lowered(dataclasses.replace(self.conv, weight=weight), "pad-slice-add")
        assert error(self.conv, moved, batch=1, size=(6, 6)) > 1e-3


class TestForm:
    """What a lowered model is made of."""

    @settings(max_examples=100)
    @given(conv=stripe_convs())
    def test_no_negative_pads(self, conv: StripeConv) -> None:
        """Cropping is a Slice, never a Pad by a negative amount, which some tools fuse into invalid convolutions."""
        model = lowered(conv, "pad-slice-add")
        pads = [array_of(node.inputs[1]) for node in model.graph if node.op_type == "Pad"]
        assert all(amounts is not None and (amounts >= 0).all() for amounts in pads)
        for node in model.graph:
            assert "pads" not in node.attributes or min(node.attributes["pads"].as_ints()) >= 0

    @lowering
    @settings(max_examples=50)
    @given(conv=stripe_convs())
    def test_standard_operators(self, name: str, conv: StripeConv) -> None:
        """Only operators of ONNX's own domain, without attributes that name one, in opset 18."""
        model = lowered(conv, name)
        assert model.opset_imports == {"": 18}
        assert {node.domain for node in model.graph} == {""}
        assert set(ops(model)) <= {"Conv", "Pad", "Slice", "Concat", "Gather", "Split", "Sum"}

    def test_computes_kept_positions_only(self) -> None:
        """At stride 2 each 1x1 convolution runs on a strided plane, of which there are at most four."""
        conv = random_conv(np.ones((4, 3, 3), bool), strides=(2, 2), pads=(1, 1, 1, 1))
        model = copied(lowered(conv, "pad-slice-add"))
        convolutions = [node for node in model.graph if node.op_type == "Conv"]
        assert len(convolutions) == 4
        for node in convolutions:
            source = node.inputs[0].producer()
            assert source is not None
            assert source.op_type == "Slice"
            assert array_of(source.inputs[4]).tolist() == [2, 2]  # type: ignore[union-attr]

    def test_one_convolution_of_live_stripes_at_stride_1(self) -> None:
        """At stride 1 there is one 1x1 Conv with one row per live stripe, ordered (i, j, filter)."""
        mask = np.random.default_rng(2).random((4, 3, 3)) < 0.5
        mask[:, 1, 1] = True
        conv = random_conv(mask)
        (node,) = [node for node in lowered(conv, "pad-slice-add").graph if node.op_type == "Conv"]
        rows = array_of(node.inputs[1])
        expected = [conv.weight[f, :, i, j] for i in range(3) for j in range(3) for f in range(4) if mask[f, i, j]]
        assert np.array_equal(rows[:, :, 0, 0], expected)  # type: ignore[index]
