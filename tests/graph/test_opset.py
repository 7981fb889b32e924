"""Old opsets become ours, and every operator computes what it did: ONNX Runtime says so, all optimisations off."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from small_models import model_from_text, ops, to_bytes

from swp_export.errors import ModelError
from swp_export.graph.analysis.inferred_shapes import with_inferred_shapes
from swp_export.graph.opset import OLDEST, OPSET, bring_to_opset

# The opsets in which it can be written so, and a node.
FORMS: tuple[tuple[range, str], ...] = (
    (range(7, 18), "y = Relu (x)"),
    (range(7, 18), "y = Sum (x, x, x)"),
    (range(7, 18), "y = MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]> (x)"),
    (range(7, 18), 'y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], auto_pad = "SAME_UPPER"> (x)'),
    (range(7, 18), "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x)"),
    (range(7, 18), 'y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_LOWER"> (x)'),
    (range(10, 18), "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)"),
    (range(7, 18), "y = LRN <size = 3, alpha = 0.3, beta = 0.6, bias = 1.5> (x)"),
    (range(7, 18), "y = BatchNormalization <epsilon = 0.01> (x, p, p, p, p)"),
    (range(7, 9), "y = BatchNormalization <spatial = 1> (x, p, p, p, p)"),
    (range(7, 18), "y = InstanceNormalization (x, p, p)"),
    (range(7, 18), "y = PRelu (x, slope)"),
    (range(7, 18), "y = Concat <axis = 1> (x, x)"),
    (range(7, 18), "y = DepthToSpace <blocksize = 2> (c)"),
    (range(7, 18), "y = Transpose <perm = [0, 2, 3, 1]> (x)"),
    (range(7, 18), "y = Flatten <axis = 2> (x)"),
    (range(7, 18), "y = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (f, w, b)"),
    (range(7, 18), "y = Dropout (x)"),
    (range(7, 12), "y = Dropout <ratio = 0.3> (x)"),
    (range(7, 11), "y = Clip (x)"),
    (range(7, 11), "y = Clip <min = -0.5> (x)"),
    (range(7, 11), "y = Clip <min = -0.5, max = 0.25> (x)"),
    (range(11, 18), "y = Clip (x, low, high)"),
    (range(7, 11), "y = Pad <pads = [0, 0, 1, 2, 0, 0, 0, 1]> (x)"),
    (range(7, 11), "y = Pad <pads = [0, 1, 1, 2, 0, 0, 0, 1], value = 3.5> (x)"),
    (range(7, 11), 'y = Pad <mode = "reflect", pads = [0, 0, 1, 2, 0, 0, 0, 1]> (x)'),
    (range(7, 11), 'y = Pad <mode = "edge", pads = [0, 0, 1, 2, 0, 0, -1, 1]> (x)'),
    (range(11, 18), "y = Pad (x, pads, value)"),
    (range(7, 10), "y = Slice <starts = [1, 0], ends = [-1, 3], axes = [2, 3]> (x)"),
    (range(7, 10), "y = Slice <starts = [0, 1], ends = [1, 3]> (x)"),
    (range(10, 18), "y = Slice (x, starts, ends, rows)"),
    (range(7, 13), "y = Squeeze <axes = [2, 3]> (one)"),
    (range(7, 13), "y = Squeeze (one)"),
    (range(13, 18), "y = Squeeze (one, axes)"),
    (range(7, 13), "y = Unsqueeze <axes = [0, 3]> (x)"),
    (range(13, 18), "y = Unsqueeze (x, axes)"),
    (range(7, 13), "y, z = Split <axis = 1, split = [1, 2]> (x)"),
    (range(7, 18), "y, z = Split <axis = 2> (x)"),
    (range(13, 18), "y, z = Split <axis = 1> (x, split)"),
    (range(7, 10), "y, i = TopK <axis = 2, k = 2> (x)"),
    (range(10, 18), "y, i = TopK <axis = 2> (x, k)"),
    *(
        (range(7, 18), f"y = {op} <axis = {axis}> (x)")
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for axis in (0, 1, 2, 3)
    ),
    (range(7, 18), "y = Softmax (x)"),
    (range(7, 18), "y = Softmax (one)"),
    (range(7, 18), "y = Softmax <axis = 1> (f)"),
    (range(11, 18), "y = Softmax <axis = -2> (x)"),
    *(
        (range(7, 18 if op != "ReduceSum" else 13), f"y = {op} {attributes} (a)")
        for op in ("ReduceMean", "ReduceMax", "ReduceL2", "ReduceSum", "ReduceLogSumExp", "ReduceProd")
        for attributes in ("<axes = [2, 3], keepdims = 0>", "<axes = [1]>", "<keepdims = 1>", "")
    ),
    (range(13, 18), "y = ReduceSum <keepdims = 0> (x, axes)"),
    (range(7, 9), "y = Upsample <scales = [1.0, 1.0, 2.0, 3.0]> (x)"),
    (range(7, 9), 'y = Upsample <scales = [1.0, 1.0, 2.0, 1.5], mode = "linear"> (x)'),
    (range(9, 10), "y = Upsample (x, scales)"),
    (range(9, 10), 'y = Upsample <mode = "linear"> (x, scales)'),
    (range(10, 11), "y = Resize (x, scales)"),
    (range(10, 11), "y = Resize (x, down)"),
    (range(10, 11), 'y = Resize <mode = "linear"> (x, scales)'),
    (range(10, 11), 'y = Resize <mode = "linear"> (x, down)'),
    (range(11, 18), "y = Resize (x, none, scales)"),
    (range(11, 18), "y = Resize (x, none, none, sizes)"),
    (range(11, 18), 'y = Resize <coordinate_transformation_mode = "align_corners", mode = "cubic"> (x, none, scales)'),
    (range(11, 18), 'y = Resize <nearest_mode = "floor"> (x, none, down)'),
    (range(10, 18), "y = RoiAlign <output_height = 2, output_width = 2, sampling_ratio = 2> (x, rois, batches)"),
    (range(9, 11), "y = Scatter <axis = 2> (x, indices, updates)"),
    (range(9, 18), "y = Where (mask, x, a)"),
    (range(7, 18), "y = Pow (a, power)"),
    (range(7, 18), "y = Identity (x)"),
)
RNG = np.random.default_rng(0)
TENSORS = {
    "power": np.float32(1.5),
    "p": np.array([0.5, 1, 2], np.float32),
    "slope": np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1),
    "w": RNG.normal(size=(4, 5)).astype(np.float32),
    "b": RNG.normal(size=4).astype(np.float32),
    "low": np.float32(-0.5),
    "high": np.float32(0.25),
    "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "value": np.float32(2),
    "starts": np.array([1]),
    "ends": np.array([-1]),
    "axes": np.array([2, 3]),
    "rows": np.array([2]),
    "split": np.array([1, 2]),
    "k": np.array([2]),
    "scales": np.array([1, 1, 2, 3], np.float32),
    "down": np.array([1, 1, 0.5, 0.7], np.float32),
    "none": np.zeros(0, np.float32),
    "sizes": np.array([2, 3, 7, 5]),
    "rois": np.array([[0, 0, 2, 3], [1, 1, 4, 3]], np.float32),
    "batches": np.array([0, 1]),
    "indices": np.array([[[[1]]]]),
    "updates": np.array([[[[9]]]], np.float32),
    "c": RNG.normal(size=(2, 4, 2, 2)).astype(np.float32),
    "mask": RNG.random((2, 3, 6, 4)) < 0.5,
    "one": RNG.normal(size=(2, 3, 1, 1)).astype(np.float32),
    "a": (0.5 + RNG.random((2, 3, 6, 4))).astype(np.float32),
    "f": RNG.normal(size=(2, 5)).astype(np.float32),
}
X = RNG.normal(size=(2, 3, 6, 4)).astype(np.float32)
DATA = frozenset(["a", "c", "f", "one"])
"""Tensors that are inputs, so that nothing is a constant that could be folded."""


def build(body: str, opset: int) -> ir.Model:
    """Return the model of one node."""
    _, _, call = body.rpartition("(")
    used = [name.strip(" )") for name in call.split(",")]
    outputs = [name.strip() for name in body.split("=", maxsplit=1)[0].split(",")]
    inputs = ["float[N, 3, 6, 4] x", *(f"float{list(TENSORS[n].shape)} {n}" for n in used if n in DATA)]
    return model_from_text(
        body,
        x=", ".join(inputs),
        y=", ".join(f"{'int64' if name == 'i' else 'float'} {name}" for name in outputs),
        opset=opset,
        ir_version=4,
        **{name: TENSORS[name] for name in used if name in TENSORS and name not in DATA},
    )


def run(model: ir.Model) -> list[np.ndarray]:
    """Return the outputs, as ONNX Runtime computes them with all optimisations off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(to_bytes(model), options, providers=["CPUExecutionProvider"])
    feeds = {value.name: X if value.name == "x" else TENSORS[value.name] for value in session.get_inputs()}
    outputs: list[np.ndarray] = session.run(None, feeds)
    return outputs


def brought(model: ir.Model) -> ir.Model:
    """Return a copy at our opset."""
    copy = with_inferred_shapes(model, "m")
    bring_to_opset(copy, "m")
    return with_inferred_shapes(copy, "m")


@pytest.mark.parametrize(("opsets", "body"), FORMS, ids=[f"{body} {o.start}-{o.stop - 1}" for o, body in FORMS])
def test_the_function_stays(opsets: range, body: str) -> None:
    """A node of any opset from 7 on computes the same in ours, and the model is a valid one."""
    for opset in opsets:
        before = build(body, opset)
        after = brought(before)
        onnx.checker.check_model(to_bytes(after), full_check=True)
        assert after.opset_imports[""] == OPSET
        for a, b in zip(run(before), run(after), strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert np.allclose(a, b, rtol=1e-6, atol=1e-6), opset


@pytest.mark.parametrize(
    ("opset", "body", "says"),
    [
        (7, "y = BatchNormalization <spatial = 0> (x, p, p, p, p)", "BatchNormalization 'y' .*each position"),
        (9, "y, i = Dropout (x)", "Dropout 'y' of opset 9 gives its mask"),
        (10, "y = Resize (x, both)", "Resize 'y' .*shrink one axis and widen another"),
        (
            11,
            'y = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, none, scales)',
            "tf_half_pixel_for_nn",
        ),
        (12, "y = GridSample (x, x)", "opset 12 has no operator GridSample"),
    ],
)
def test_what_has_no_equal(opset: int, body: str, says: str) -> None:
    """What a node means in its own opset only is refused by the operator's and the node's name."""
    tensors = {"p": TENSORS["p"], "both": np.array([1, 1, 2, 0.5], np.float32), **TENSORS}
    used = {name: array for name, array in tensors.items() if name in body.partition("(")[2]}
    outputs = "float y, float i" if "i =" in body else "float y"
    model = model_from_text(body, x="float[2, 3, 6, 4] x", y=outputs, opset=opset, **used)
    with pytest.raises(ModelError, match=says):
        bring_to_opset(model, "m.onnx")


@pytest.mark.parametrize("opset", [OLDEST - 1, onnx.defs.onnx_opset_version() + 1])
def test_opsets_that_nobody_runs(opset: int) -> None:
    """Older than ONNX Runtime runs, or newer than onnx knows: nothing could be checked."""
    model = model_from_text("y = Relu (x)", y="float y")
    model.opset_imports[""] = opset
    with pytest.raises(ModelError, match=f"is of opset {opset}, expected {OLDEST} to"):
        bring_to_opset(model, "m.onnx")


def test_a_newer_opset_stays() -> None:
    """A file of opset 21 was made for a runtime that has it."""
    model = model_from_text("y = Relu (x)", x="float[N, 3] x", y="float y", opset=21, ir_version=10)
    bring_to_opset(model, "m")
    assert (model.opset_imports[""], model.ir_version) == (21, 10)


def test_subgraphs_are_brought_along() -> None:
    """Nodes of a branch are written in the new opset too."""
    model = model_from_text(
        "y = If (c) <then_branch = t () => (float[3, 4] u) { u = ReduceSum <axes = [0], keepdims = 0> (x) }, "
        "else_branch = e () => (float[3, 4] v) { v = ReduceMean <axes = [0], keepdims = 0> (x) }>",
        x="float[2, 3, 4] x, bool c",
        y="float[3, 4] y",
        opset=11,
    )
    after = brought(model)
    onnx.checker.check_model(to_bytes(after), full_check=True)
    for node in ir.traversal.RecursiveGraphIterator(after.graph):
        assert "axes" not in node.attributes


def test_operators_of_others_stay() -> None:
    """A Clip of another domain is none of ONNX's and keeps its attributes."""
    model = model_from_text(
        "y = other.Clip <min = 0.0> (x)", x="float[2, 3] x", y="float y", opset=9, domains=["other"]
    )
    bring_to_opset(model, "m")
    assert ops(model) == ["Clip"]
    assert model.graph[0].attributes["min"].as_float() == 0


def test_a_split_that_leaves_its_sizes_out_by_name() -> None:
    """An optional input that is given as the empty name is not given: the parts are equal."""
    before = build("y, z = Split <axis = 2> (x)", 13)
    before.graph[0].resize_inputs(2)
    after = brought(before)
    onnx.checker.check_model(to_bytes(after), full_check=True)
    assert [part.shape for part in run(after)] == [(2, 3, 3, 4), (2, 3, 3, 4)]


def test_a_mode_that_opset_13_dropped_is_refused_in_opset_12() -> None:
    """What opset 13 changed is checked for a file of the opset right before it."""
    body = 'y = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, none, scales)'
    used = {name: TENSORS[name] for name in ("none", "scales")}
    model = model_from_text(body, x="float[2, 3, 6, 4] x", y="float y", opset=12, **used)
    with pytest.raises(ModelError, match="tf_half_pixel_for_nn"):
        bring_to_opset(model, "m.onnx")
