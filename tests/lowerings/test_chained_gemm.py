"""A long Gemm as a chain of shorter ones: the same function, nearer to float64, and back bit for bit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from real_networks import VGG
from small_models import copied, from_bytes, furthest, model_from_text, ops, to_bytes, to_float32

from swp_export.benchmark.kernel_layers import layers_of_nodes
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.operators.table import weights_of
from swp_export.lowerings.chained_gemm import LEAST, PIECES, ChainGemm, UnchainGemm
from swp_export.lowerings.lower import lift, lower
from swp_export.runtime.session import open_session

if TYPE_CHECKING:
    from real_networks import Pruned

CHAIN = ["Split", *["Gemm"] * PIECES]


def rng() -> np.random.Generator:
    """Return a source of weights."""
    return np.random.default_rng(0)


def classifier(columns: int = 70, body: str = "y = Gemm <transB = 1> (f, w, b)", **tensors: np.ndarray) -> ir.Model:
    """Return `body` behind a Flatten of an input of `columns` channels."""
    constants = {"w": rng().normal(size=(10, columns)), "b": rng().normal(size=10), **tensors}
    read = {name: array for name, array in constants.items() if re.search(rf"\b{name}\b", body)}
    return model_from_text(
        f"r = Relu (x) f = Flatten (r) {body}", x=f"double[N, {columns}, 1, 1] x", y="double[N, 10] y", **read
    )


def named(model: ir.Model, name: str = "classifier") -> ir.Model:
    """Name the first Gemm of `model`."""
    next(node for node in model.graph if node.op_type == "Gemm").name = name
    return model


def x(columns: int = 70) -> np.ndarray:
    """Return two images."""
    return np.random.default_rng(1).normal(size=(2, columns, 1, 1))


class TestChain:
    """What is written, and of what."""

    @pytest.mark.parametrize("columns", [PIECES * LEAST, 70, 129])
    @pytest.mark.parametrize("bias", ["", ", b"])
    @pytest.mark.parametrize("transposed", [True, False])
    def test_same_function(self, columns: int, bias: str, transposed: bool) -> None:
        """Either way round, with and without bias, where the pieces are not of one size too."""
        weight = rng().normal(size=(10, columns))
        body = f"y = Gemm {'<transB = 1>' if transposed else ''} (f, w{bias})"
        before = classifier(columns, body, w=weight if transposed else weight.T)
        after = copied(before)
        assert ChainGemm()(after).modified
        assert ops(after) == ["Relu", "Flatten", *CHAIN]
        assert furthest(before, after, x(columns)) < 1e-12
        onnx.checker.check_model(ir.to_proto(after), full_check=True)
        read = {value.name for node in after.graph for value in node.inputs if value is not None}
        assert set(after.graph.initializers) <= read

    @pytest.mark.parametrize(
        ("columns", "body"),
        [
            (PIECES * LEAST - 1, "y = Gemm <transB = 1> (f, w, b)"),
            (70, "y = Gemm <transB = 1, alpha = 0.5> (f, w, b)"),
            (70, "y = Gemm <transB = 1> (f, w, m)"),
            (70, "v = Neg (w) y = Gemm <transB = 1> (f, v, b)"),
        ],
    )
    def test_others_stay(self, columns: int, body: str) -> None:
        """A short one, one that scales, one whose bias is a matrix, one whose weight is computed."""
        model = classifier(columns, body, m=rng().normal(size=(2, 10)))
        before = to_bytes(model)
        assert not ChainGemm()(model).modified
        assert to_bytes(model) == before

    def test_names(self) -> None:
        """Every node belongs to the layer, and a name that is taken does not make the file invalid."""
        model = named(classifier())
        model.graph[0].outputs[0].name = "classifier/weight"
        ChainGemm()(model)
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
        assert set(list(layers_of_nodes(model.graph).values())[2:]) == {"classifier"}

    def test_a_weight_that_two_read(self) -> None:
        """It stays for the other."""
        body = "v = Neg (w) h = MatMul (f, v) g = Gemm (f, w, b) y = Add (g, h)"
        before = classifier(70, body, w=rng().normal(size=(70, 10)))
        after = copied(before)
        ChainGemm()(after)
        assert "w" in after.graph.initializers
        assert furthest(before, after, x()) < 1e-12

    def test_error(self) -> None:
        """In float32, products that all have one sign end at less than half the distance from float64."""
        weight = np.abs(rng().normal(size=(10, 248)))
        plain = to_float32(classifier(248, w=weight))
        chained = copied(plain)
        ChainGemm()(chained)
        images = np.random.default_rng(2).random((256, 248, 1, 1), np.float32)
        truth = Float64Model(plain).run(images)["y"]
        error = [np.sqrt(np.mean((run(model, images) - truth) ** 2)) for model in (plain, chained)]
        assert error[1] < error[0] / 2

    def test_error_of_vgg16(self, vgg16: Pruned) -> None:
        """Every layer broken, the shipped samples: largest and typical error are within twice PyTorch's own."""
        model = lift(from_bytes(vgg16.content))
        lower(model, lambda _: "pad-slice-add")
        images = np.repeat(np.load(VGG / "samples.npz")["images"], 3, axis=1)
        truth = vgg16.reference.float64(images)["output"]
        own = vgg16.reference.float32(images)["output"] - truth
        error = open_session(to_bytes(model)).run({"input": images})["output"] - truth
        assert np.abs(error).max() < 2 * np.abs(own).max()
        assert np.sqrt(np.mean(error**2)) < 2 * np.sqrt(np.mean(own**2))


def run(model: ir.Model, images: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime computes."""
    return open_session(to_bytes(model)).run({"x": images})["y"]


class TestUnchain:
    """The way back."""

    @pytest.mark.parametrize("body", ["y = Gemm <transB = 1> (f, w, b)", "y = Gemm <transB = 1> (f, w)"])
    def test_lift_undoes_lower(self, body: str) -> None:
        """By way of bytes: one Gemm with the weight it had, which lowers to the same bytes."""
        model = named(classifier(body=body))
        weight = weights_of(model.graph[-1])
        lower(model, lambda _: "dense")
        first = to_bytes(model)
        restored = lift(from_bytes(first))
        assert ops(restored) == ["Relu", "Flatten", "Gemm"]
        found = weights_of(restored.graph[-1])
        assert found is not None
        assert weight is not None
        assert found.weight.tobytes() == weight.weight.tobytes()
        lower(restored, lambda _: "dense")
        assert to_bytes(restored) == first

    def test_what_is_read_elsewhere_stays(self) -> None:
        """A chain into which something else was put is none."""
        model = classifier()
        ChainGemm()(model)
        gemm = model.graph[-2]
        negated = ir.node("Neg", [gemm.outputs[0]])
        model.graph.insert_after(gemm, negated)
        model.graph[-1].replace_input_with(2, negated.outputs[0])
        assert not UnchainGemm()(model).modified


def test_a_split_of_the_users_stays() -> None:
    """A chain that nobody here wrote is not made into one Gemm: its Split bears no layer's name."""
    foreign = copied(classifier())
    ChainGemm()(foreign)
    for node in foreign.graph:
        node.metadata_props.clear()
    assert not UnchainGemm()(foreign).modified
    assert ops(foreign) == ["Relu", "Flatten", *CHAIN]


def test_a_weight_in_a_constant_node() -> None:
    """A weight that a Constant node gives is chained as one in an initializer."""
    before = classifier()
    value = before.graph.initializers.pop("w")
    assert value.const_value is not None
    constant = ir.node("Constant", [], {"value": value.const_value}, name="constant")
    gemm = next(node for node in before.graph if node.op_type == "Gemm")
    constant.outputs[0].shape, constant.outputs[0].type, constant.outputs[0].name = value.shape, value.type, "w"
    before.graph.insert_before(before.graph[0], constant)
    gemm.replace_input_with(1, constant.outputs[0])
    after = copied(before)
    assert ChainGemm()(after).modified
    assert furthest(before, after, x()) < 1e-12
