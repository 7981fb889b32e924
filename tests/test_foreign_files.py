"""Files of kinds that the program once got wrong, in tests/cases, each with what is right about it.

Equal means: outputs as ONNX Runtime computes them with all optimisations off, within 1e-5 of the largest one. Gone
means: the weights of the written file have the shapes that are stated here.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from small_models import weight_shapes

from swp_export import prune, verify
from swp_export.errors import ModelError, SwpExportError
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.rewrite import compact_from_portable
from swp_export.pruning.source import read_source
from swp_export.verification.verify import Verifier

if TYPE_CHECKING:
    from swp_export.pruning.report import PruneReport

CASES = Path(__file__).parent / "cases"


SHAPES = {"nhwc-input": (16, 16, 3), "squeeze-and-excite-linear": (3, 24, 24)}
"""Shape of one input, behind the batch, of the files that leave it open."""

GONE: dict[str, list[list[int]]] = {
    "auto-pad-same-upper": [[11, 3, 3, 3], [14, 11, 3, 3], [14, 5]],
    "auto-pad-valid": [[10, 3, 3, 3], [14, 10, 3, 3], [14, 5]],
    "batch-baked-into-reshape": [[11, 3, 3, 3], [8, 11, 3, 3], [5, 512]],
    "batchnorm-opset7": [[11, 3, 3, 3], [15, 11, 3, 3], [14, 15, 3, 3], [5, 14]],
    "constant-through-batchnorm-opset13": [[2, 1, 1, 1], [1, 2, 1, 1]],
    "constant-through-batchnorm-opset15": [[2, 1, 1, 1], [1, 2, 1, 1]],
    # The attention of each of the first 16 channels is made of its neighbours, so they stay.
    # The constants of four dead filters become four different patterns of phases behind the transposed convolution.
    "conv-transpose": [[24, 3, 3, 3], [19, 24, 3, 3], [5, 19]],
    "conv1d-inside-2d": [[16, 3, 3, 3], [1, 1, 3], [12, 16, 3, 3], [5, 12]],
    "domain-spelled-ai-onnx": [[11, 3, 3, 3], [14, 11, 3, 3], [14, 5]],
    "instance-norm": [[20, 3, 3, 3], [19, 20, 3, 3], [5, 19]],
    "leaky-relu": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
    "local-functions": [[10, 3, 3, 3], [18, 10, 3, 3], [18, 5]],
    "minus-inf-pad-maxpool": [[6, 3, 3, 3], [12, 6, 3, 3], [5, 12]],
    "nhwc-input": [[11, 3, 3, 3], [15, 11, 3, 3], [15, 5]],
    "pad-reflect": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
    "prelu-per-channel": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
    "preactivation-opset13": [[11, 3, 3, 3], [14, 11, 3, 3], [14, 5]],
    "resize-nearest": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
    "resize-opset10": [[11, 3, 3, 3], [15, 11, 3, 3], [8, 26, 3, 3], [5, 8]],
    "split-channels": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
    # Constants behind an activation, times a gate that varies with the image, vary with it.
    "squeeze-and-excite-linear": [[23, 3, 3, 3], [23, 8], [8, 23], [32, 23, 3, 3], [20, 8], [8, 32], [10, 32]],
    "weights-also-graph-inputs-ir3": [[11, 3, 3, 3], [4, 11, 3, 3]],
    "weights-also-graph-inputs-ir8": [[11, 3, 3, 3], [4, 11, 3, 3]],
    "weights-in-constant-nodes": [[11, 3, 3, 3], [14, 11, 3, 3], [14, 5]],
    "where": [[21, 3, 3, 3], [19, 21, 3, 3], [5, 19]],
}
"""Shapes of the weights that are left, each layer written dense."""


def pruned(name: str, folder: Path, **options: Any) -> tuple[PruneReport, bytes]:
    """Prune the case and return the report and the written file."""
    target = folder / "out.onnx"
    report = prune(CASES / f"{name}.onnx", output=target, input_shape=SHAPES.get(name), **options)
    return report, target.read_bytes()


def run(content: bytes, x: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of a model as ONNX Runtime computes them with all optimisations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: x})
    return outputs


def noise(name: str) -> np.ndarray:
    """Return one input of noise for the case."""
    graph = onnx.load(CASES / f"{name}.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    data = next(value for value in graph.input if value.name not in stored)
    shape = SHAPES.get(name) or [dim.dim_value for dim in data.type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)


def assert_equal(name: str, content: bytes) -> None:
    """Compare the written file with the case, run by run."""
    x = noise(name)
    before, after = run((CASES / f"{name}.onnx").read_bytes(), x), run(content, x)
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max()


@pytest.mark.parametrize("name", GONE)
def test_pruned_equal_and_gone(name: str, tmp_path: Path) -> None:
    """The file is pruned and verified, computes the same, and its dead channels are in no weight any more."""
    report, content = pruned(name, tmp_path)
    assert report.verification is not None
    assert report.verification.equivalent
    assert_equal(name, content)
    assert weight_shapes(compact_from_portable(content)) == GONE[name]


@pytest.mark.parametrize("name", sorted(GONE))
def test_equal_and_gone_whatever_the_truth_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without our own verification: the graph alone is right."""
    unasked = SimpleNamespace(only_batch=lambda _: None)
    monkeypatch.setattr("swp_export.verification.references.OnnxReference", lambda *_: unasked)
    _, content = pruned(name, tmp_path, verify=False)
    assert_equal(name, content)
    assert weight_shapes(compact_from_portable(content)) == GONE[name]


@pytest.mark.parametrize("opset", [13, 15])
def test_a_constant_through_a_normalisation(opset: int, tmp_path: Path) -> None:
    """At x = 0 the output is 3.0, less what epsilon takes, everywhere, before and after, whatever the opset."""
    name = f"constant-through-batchnorm-opset{opset}"
    _, content = pruned(name, tmp_path, verify=False)
    for model in ((CASES / f"{name}.onnx").read_bytes(), content):
        (y,) = run(model, np.zeros((1, 1, 4, 4), np.float32))
        assert np.allclose(y, 3 / np.sqrt(1 + 1e-5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [f"weights-also-graph-inputs-ir{version}" for version in (3, 8)])
def test_no_weight_is_asked_for(name: str, tmp_path: Path) -> None:
    """Weights that the file lists among its inputs are no inputs of the written one."""
    _, content = pruned(name, tmp_path)
    proto = onnx.ModelProto.FromString(content)
    assert [value.name for value in proto.graph.input] == ["x"]
    assert proto.ir_version >= 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("qdq", "is quantised already .*DequantizeLinear.*start from the float model"),
        ("fused-by-onnxruntime", "optimised for one runtime already .*nchwc.Conv.*start from the model before that"),
    ],
)
def test_refused_for_what_it_is(name: str, says: str, tmp_path: Path) -> None:
    """A model that is quantised or optimised already is not the network: the message says what to start from."""
    with pytest.raises(ModelError, match=says):
        pruned(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_float16_weights(tmp_path: Path) -> None:
    """Half the network in float16 between two Casts is pruned; equal is what float16 can hold."""
    report, content = pruned("float16-weights-float32-io", tmp_path)
    assert report.verification is not None
    assert report.verification.equivalent
    assert weight_shapes(compact_from_portable(content)) == [[11, 3, 3, 3], [15, 11, 3, 3], [5, 15]]
    x = noise("float16-weights-float32-io")
    (before,), (after,) = run((CASES / "float16-weights-float32-io.onnx").read_bytes(), x), run(content, x)
    assert np.abs(before - after).max() <= 2e-3 * np.abs(before).max()


@pytest.mark.parametrize("name", ["batch-baked-into-reshape"])
def test_a_batch_that_is_baked_in(name: str, tmp_path: Path) -> None:
    """A model that runs at batch 1 only is pruned, verified at that, and the report says so."""
    report, _ = pruned(name, tmp_path)
    assert report.verification is not None
    assert report.verification.equivalent
    assert all(case.input_shape[0] == 1 for case in report.verification.cases)
    assert "batch" in json.dumps(report.to_json())


@pytest.mark.parametrize("name", ["preactivation-opset13", "constant-through-batchnorm-opset13"])
@pytest.mark.parametrize("tolerance", [{}, {"atol": 1e-3, "rtol": 1e-3}])
def test_a_file_against_itself(name: str, tolerance: dict[str, float]) -> None:
    """A file differs from itself by what float32 rounds, near 1e-7 of the scale."""
    path = CASES / f"{name}.onnx"
    report = verify(path, against=path, **tolerance)
    assert report.equivalent
    for case in report.cases:
        assert case.max_abs_error <= 2e-5 * (1000 if "1000" in case.case else 1)


@pytest.mark.parametrize("fault", ["classifier-5-percent-off", "filter-flipped"])
def test_spoiled_files_are_found(fault: str) -> None:
    """A classifier that is off by 5 % and a filter that is flipped are no longer the network."""
    spoiled = CASES / f"preactivation-opset13-{fault}.onnx"
    for tolerance in ({}, {"atol": 1e-3, "rtol": 1e-3}):
        assert not verify(spoiled, against=CASES / "preactivation-opset13.onnx", **tolerance).equivalent


@pytest.mark.parametrize("name", ["active-dropout"])
def test_a_dropout_that_drops(name: str, tmp_path: Path) -> None:
    """A Dropout in training mode is no function of its input: nothing can be proved, and the node is named."""
    path = CASES / f"{name}.onnx"
    for command in (
        lambda: pruned(name, tmp_path),
        lambda: verify(path, against=path, input_shape=(3, 16, 16)),
    ):
        with pytest.raises(SwpExportError, match="node_native_dropout__1"):
            command()


@pytest.mark.parametrize("name", ["zeropad-maxpool-fused-wrongly"])
def test_a_source_that_the_runtime_gets_wrong(name: str, tmp_path: Path) -> None:
    """Where the runtime's own optimisation of the source is wrong, it is said, and the budget is none the wider."""
    path = CASES / f"{name}.onnx"
    written, _ = pruned(name, tmp_path)
    assert written.verification is not None
    for report in (written.verification, verify(path, against=path)):
        scale = max(np.abs(y).max() for y in run(path.read_bytes(), noise(name)))
        case = next(case for case in report.cases if case.case == "noise")
        assert case.budget < 1e-3 * scale
        assert "optimi" in json.dumps(report.to_json())


def test_outputs_of_varying_length() -> None:
    """Integer outputs whose length depends on the input are compared exactly."""
    path = CASES / "nonmaxsuppression-output.onnx"
    assert verify(path, against=path).equivalent


@pytest.mark.parametrize("name", ["saturated-sigmoid-1", "saturated-sigmoid-2"])
def test_saturated_outputs_raise_no_false_alarm(name: str, tmp_path: Path) -> None:
    """A head that saturates is equivalent however its layers are written: whichever form `tune` picks."""
    path = CASES / f"{name}.onnx"
    source = read_source(path, threshold=None, arch=None, input_shape=SHAPES.get(name), progress=lambda _: None)
    verifier = Verifier(source.reference, source.input_shape)  # asks the reference once for all of them
    for lowering in (None, *LOWERINGS):
        _, content = pruned(name, tmp_path, lowering=lowering, force=True, verify=False)
        assert verifier.verify(content, str(lowering)).equivalent
