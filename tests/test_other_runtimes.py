"""Planned models are standard ONNX: other runtimes compute the same of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from small_models import PADS, marked, model_from_text, to_float32
from tunable_models import LAYERS, SHAPE, compact_network, portable, sparse

from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.rewrite import compact_from_portable, planned_bytes
from swp_export.runtime.session import open_session
from swp_export.runtime.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from real_networks import Pruned

    Run = Callable[[bytes, np.ndarray], np.ndarray]

X = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


def onnx_reference(model: bytes, x: np.ndarray) -> np.ndarray:
    """Run ONNX's own evaluator."""
    proto = onnx.ModelProto.FromString(model)
    (y,) = ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: x})
    return np.asarray(y)


def openvino(model: bytes, x: np.ndarray) -> np.ndarray:
    """Run OpenVINO; return the first output."""
    pytest.importorskip("openvino")
    return next(iter(open_session(model, Target(device="openvino")).run(x).values()))


def onnxruntime(model: bytes, x: np.ndarray) -> np.ndarray:
    """Run ONNX Runtime; return the first output."""
    return next(iter(open_session(model).run(x).values()))


def everywhere(compact: ir.Model, name: str) -> dict[str, str]:
    """Return the plan that writes each layer by lowering `name` where that applies."""
    return {
        conv.name: name if LOWERINGS[name].why_not(conv) is None else "dense"
        for _, conv in iterate_stripe_convs(compact.graph)
    }


def assert_alike(y: np.ndarray, expected: np.ndarray) -> None:
    """Assert that two float32 runs of one network agree."""
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype == np.float32
    assert np.isfinite(y).all()
    assert float(np.abs(y - expected).max()) <= 1e-5 * float(np.abs(expected).max())


@pytest.mark.parametrize("name", LOWERINGS)
@pytest.mark.parametrize("run", [onnx_reference, openvino])
def test_small_network(name: str, run: Run) -> None:
    """Every lowering, wherever it applies."""
    compact = compact_network()
    plan = everywhere(compact, name)
    assert name in plan.values()
    assert_alike(run(planned_bytes(compact, plan, 8), X), onnxruntime(portable("dense"), X))


@pytest.mark.parametrize(
    "name",
    [
        "shift-sum",
        pytest.param(
            "pad-slice-add",
            marks=pytest.mark.xfail(
                reason="OpenVINO 2026.4.1 merges a Gather of channels through PRelu into a Conv by its inverse"
            ),
        ),
    ],
)
def test_openvino_where_the_order_is_not_free(name: str) -> None:
    """An operator that asks for all channels holds their order, and a PRelu has a slope for each of them."""
    rng = np.random.default_rng(4)
    body = (
        f"a = Conv <{PADS}> (x, w0) n = Size (a) p = PRelu (a, s) b = Conv <{PADS}> (p, w1) r = Relu (b) "
        "q = GlobalAveragePool (r) f = Flatten (q) y = Gemm (f, g)"
    )
    weights = {
        "w0": sparse(rng, 12, 3, [1, 2, 4]),
        "w1": sparse(rng, 19, 12, [1, 1, 3]),
        "g": rng.normal(size=(19, 10)),
    }
    network = model_from_text(body, y="double[N, 10] y, int64 n", s=rng.normal(size=(12, 1, 1)), **weights)
    compact = marked(to_float32(network))
    y = openvino(planned_bytes(compact, everywhere(compact, name), 1), X)
    assert_alike(y, onnxruntime(planned_bytes(compact, everywhere(compact, "dense"), 1), X))


def test_a_difference_is_seen() -> None:
    """Another plan's model is alike, another network's is not."""
    compact = compact_network()
    y = onnxruntime(planned_bytes(compact, dict.fromkeys(LAYERS, "sliced-ellpack(640)"), 8), X)
    with pytest.raises(AssertionError):
        assert_alike(y * np.float32(1.0001), onnxruntime(portable("dense"), X))


@pytest.mark.parametrize("run", [onnx_reference, openvino])
@pytest.mark.parametrize("name", ["sliced-ellpack(640)", "split(2, shift-sum)"])
def test_vgg16(name: str, run: Run, vgg16: Pruned) -> None:
    """The real network by a plan that permutes, its channels filled up to blocks of 16."""
    compact = compact_from_portable(vgg16.content)
    plan = everywhere(compact, name)
    assert list(plan.values()).count(name) >= 5
    x = np.random.default_rng(1).normal(size=(1, *vgg16.input_shape)).astype(np.float32)
    assert_alike(run(planned_bytes(compact, plan, 16), x), onnxruntime(vgg16.content, x))
