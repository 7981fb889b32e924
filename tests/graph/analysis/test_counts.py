"""Parameters and FLOPs: by the paper's count, and as executed, on cases counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, from_bytes, marked, model_from_text, random_conv

from swp_export.errors import ModelError
from swp_export.graph.analysis.counts import Executed, Floats, count, executed, stored_floats
from swp_export.graph.analysis.flops import infer_shapes
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.pipeline import compact
from swp_export.lowerings.lower import lower
from swp_export.stripes import LayerCounts

if TYPE_CHECKING:
    from real_networks import Pruned

RNG = np.random.default_rng(0)


def network() -> ir.Model:
    """Return a strided 3x3 layer with 4 of 36 stripes live, on 3x8x6; then a classifier of 4 columns and 5 classes."""
    mask = np.zeros((4, 3, 3), bool)
    mask[0, 0, 0] = mask[0, 2, 1] = mask[1, 1, 1] = mask[2, 1, 1] = True
    conv = random_conv(mask, channels=3)
    return marked(
        model_from_text(
            f"h = Conv <{PADS}, strides = [2, 2]> (x, w, b) p = GlobalAveragePool (h) f = Flatten (p) "
            "y = Gemm (f, m, c)",
            x="float[N, 3, H, W] x",
            y="float[N, 5] y",
            w=conv.weight.astype(np.float32),
            b=conv.bias.astype(np.float32),
            m=RNG.normal(size=(4, 5)).astype(np.float32),
            c=RNG.normal(size=5).astype(np.float32),
        )
    )


class TestByHand:
    """One network, every figure counted by hand: the output is 4x3 positions."""

    def test_dense(self) -> None:
        """All stripes: 2 * 36 * 3 * 12 and 2 * 4 * 5; weights and biases 108 + 4 and 20 + 5."""
        counts = count(network(), (3, 8, 6), live_only=False)
        assert counts.layers == {
            "conv0": LayerCounts(params=112, flops=2 * 36 * 3 * 12),
            "y": LayerCounts(params=25, flops=40),
        }
        assert counts.flops == 2592 + 40
        assert counts.params == 112 + 25

    def test_papers_count(self) -> None:
        """Live stripes alone: 2 * 4 * 3 * 12, at the positions that the stride keeps."""
        counts = count(network(), (3, 8, 6), live_only=True)
        assert counts.layers == {
            "conv0": LayerCounts(params=4 * 3 + 4, flops=2 * 4 * 3 * 12),
            "y": LayerCounts(params=25, flops=40),
        }
        assert counts.flops == 288 + 40
        assert counts.params == 4 * 3 + 4 + 25

    def test_executed_dense(self) -> None:
        """A dense layer multiplies its zeros."""
        layers = {"conv0": LayerCounts(params=112, flops=2592), "y": LayerCounts(params=25, flops=40)}
        assert executed(network(), (3, 8, 6)) == Executed(products=2592 + 40, additions=0, layers=layers)

    def test_executed_broken(self) -> None:
        """A broken layer executes its rows, on planes of kept positions plus their ring, and adds.

        Rows: 4 live stripes and one bias carrier for filter 3 at the first live tap, (0, 0). The window of the live
        taps is 9 x 7 (padding 1 above and left, none right of column 1, 1 below). Planes: rows 0, 2, .. with columns
        0, 2, ..: tap (0, 0), 2 rows; with columns 1, 3, ..: tap (2, 1), 1 row; rows and columns 1, 3, ..: (1, 1).
        """
        model = network()
        ((_, conv),) = iterate_stripe_convs(model.graph)
        assert conv.skeleton.live_stripes == 4
        lower(model, lambda _: "pad-slice-add")
        products = 2 * 3 * 12 * (2 + 1 + 2)
        additions = 1 * 12  # filter 0 has two stripes: one addition of its map
        work = executed(model, (3, 8, 6))
        assert (work.products, work.additions) == (products + 40, additions)
        assert work.layers["conv0"].flops == products
        assert sum(layer.params for layer in work.layers.values()) == stored_floats(model).total

    def test_batch_does_not_count(self) -> None:
        """Figures are per image, at the size that is asked for."""
        assert count(network(), (3, 16, 6), live_only=True).layers["conv0"].flops == 2 * 288


def test_nodes_without_a_name_all_count() -> None:
    """Two classifiers that nobody named are two, not one."""
    model = model_from_text(
        "p = GlobalAveragePool (x) f = Flatten (p) g = Gemm (f, m) y = Gemm (g, n)",
        y="double[N, 5] y",
        m=RNG.normal(size=(3, 4)),
        n=RNG.normal(size=(4, 5)),
    )
    assert count(model, (3, 4, 4), live_only=False).flops == 2 * (3 * 4 + 4 * 5)


def test_operators_of_another_domain() -> None:
    """An operator counts only if it is ONNX's: a Conv or Add of another domain is another operator."""
    body = f"y = Conv <{PADS}> (x, w) u = other.Conv (x, w) v = other.Add (x, x)"
    model = model_from_text(body, domains=["other"], y="double[N, 4, H, W] y", w=RNG.normal(size=(4, 3, 3, 3)))
    work = executed(model, (3, 2, 2))
    assert (work.products, work.additions) == (2 * 4 * 4 * 27, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_counts(dtype: type[np.floating]) -> None:
    """Weights of float16 between casts are counted and executed like others."""
    number = ir.DataType.from_numpy(np.dtype(dtype)).value
    model = model_from_text(
        f"c = Cast <to = {number}> (x) h = Conv <{PADS}> (c, w) y = Cast <to = 1> (h)",
        x="float[N, 3, H, W] x",
        y="float[N, 4, H, W] y",
        w=RNG.normal(size=(4, 3, 3, 3)).astype(dtype),
    )
    assert executed(model, (3, 2, 2)).products == 2 * 4 * 4 * 27
    assert count(model, (3, 2, 2), live_only=False).flops == 2 * 4 * 4 * 27
    assert stored_floats(model) == Floats(total=108, helpers=0)


class TestStoredFloats:
    """Floats of a file, counted by hand."""

    def test_weights_and_biases(self) -> None:
        """A dense layer stores its zeros: 108 + 4, and 20 + 5 of the classifier; integers do not count."""
        assert stored_floats(network()) == Floats(total=112 + 25, helpers=0)

    def test_helpers(self) -> None:
        """Kernels that shift and matrices that sum are told apart: they hold nothing but 0 and 1."""
        model = network()
        lower(model, lambda _: "shift-sum", multiple=1)
        stored = {name: value.const_value.numpy() for name, value in model.graph.initializers.items()}
        total = sum(array.size for array in stored.values() if array.dtype == np.float32)
        helpers = [array.size for array in stored.values() if array.ndim == 4 and set(array.flat) <= {0, 1}]
        assert len(helpers) == 2
        assert stored_floats(model) == Floats(total=total, helpers=sum(helpers))

    def test_constants_anywhere(self) -> None:
        """What a Constant node or a branch stores is in the file too."""
        model = model_from_text(
            "k = Constant <value = float[2] {1, 2}> () h = Add (x, k) "
            "y = If (b) <then_branch = t () => (float[N, 2] u) <float[3] c = {1, 2, 3}> "
            "{ s = ReduceSum <keepdims = 0> (c) u = Add (h, s) }, "
            "else_branch = e () => (float[N, 2] v) { v = Relu (h) }>",
            x="float[N, 2] x, bool b",
            y="float[N, 2] y",
        )
        assert stored_floats(model) == Floats(total=5, helpers=0)


def test_unknown_shape() -> None:
    """A convolution whose output's size cannot be inferred is an error with its name, not a zero."""
    model = model_from_text(
        f"u = other.Unknown (x) y = Conv <{PADS}> (u, w)", domains=["other"], w=RNG.normal(size=(4, 3, 3, 3))
    )
    model.graph[1].name = "late"
    with pytest.raises(ModelError, match="'late' cannot be inferred"):
        count(model, (3, 4, 4), live_only=False)


class TestRealNetworks:
    """The figures of the networks of the paper."""

    def test_vgg16(self, vgg16: Pruned) -> None:
        """VGG16 has 14.72 M parameters and 626.4 MFLOPs before pruning (CIFAR, 10 classes)."""
        totals = vgg16.report.totals
        assert totals.paper_params_before / 1e6 == pytest.approx(14.72, abs=0.01)
        assert totals.flops_before / 1e6 == pytest.approx(626.4, abs=0.5)

    @pytest.mark.parametrize("network", ["resnet56", "vgg16"])
    def test_report_is_the_papers_count(self, network: str, request: pytest.FixtureRequest) -> None:
        """Each layer's figure is 2 * live stripes * C * H_out * W_out of what is left, and they add up."""
        pruned: Pruned = request.getfixturevalue(network)
        model = compact(from_bytes(pruned.dense))
        shapes = infer_shapes(ir.serde.serialize_model(model), (1, *pruned.input_shape))
        by_name = {layer.name: layer for layer in pruned.report.layers}
        total = 0
        for node, conv in iterate_stripe_convs(model.graph):
            _, _, height, width = shapes[node.outputs[0].name or ""]
            expected = 2 * conv.skeleton.live_stripes * conv.channels * height * width
            assert by_name[conv.name].paper_flops == expected
            assert by_name[conv.name].live_stripes == conv.skeleton.live_stripes
            total += expected
        gemm = pruned.report.totals.paper_flops_after - total
        assert 0 < gemm < 2 * 512 * 10 + 1


def test_constants_without_a_tensor() -> None:
    """A Constant that gives numbers as an attribute stores no tensor, and does not stop the count."""
    text = "k = Constant <value_float = 2.0> () h = Conv (x, w) y = Mul (h, k)"
    model = model_from_text(text, w=RNG.normal(size=(4, 3, 3, 3)))
    assert stored_floats(model).total == 4 * 3 * 3 * 3


def test_weights_that_are_inputs_too_keep_their_shapes() -> None:
    """Shapes follow from the images alone: an initializer that is a graph input too has the shape it has."""
    proto = ir.to_proto(network())
    images = proto.graph.input.pop()
    for tensor in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    proto.graph.input.append(images)
    shapes = infer_shapes(proto, (1, 3, 8, 6))
    assert shapes["h"] == (1, 4, 4, 3)
    assert shapes["y"] == (1, 5)
