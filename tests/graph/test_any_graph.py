"""The whole pipeline on legal graphs of odd kinds: what is computed stays, to the last border."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, to_bytes, weights

from swp_export.graph.analysis.inferred_shapes import with_inferred_shapes
from swp_export.graph.pipeline import compact

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 5))
DEAD = (1, 2, 5)
FIRST = f"h = Conv <{PADS}> (x, w, b) r = Relu (h)"
LAST = f"y = Conv <{PADS}> (z, v)"
TENSORS = {
    "w": weights(RNG, 8, 3, 3, 3, dead=DEAD),
    "b": RNG.normal(size=8) + 1.5,
    "v": weights(RNG, 4, 8, 3, 3),
    "v16": weights(RNG, 4, 16, 3, 3),
    "u": weights(RNG, 8, 8, 3, 3, dead=[0, 3]),
    "dw2": weights(RNG, 16, 1, 3, 3),
    "dw": weights(RNG, 8, 1, 3, 3),
    "g": weights(RNG, 6, 8, dead=[2]),
    "gt": weights(RNG, 6, 8, dead=[2]).T.copy(),
    "dead6": np.zeros((6, 8)),
    "b6": RNG.normal(size=6),
    "b16": RNG.normal(size=(1, 6)),
    "scalar": np.float64(0.7),
    "low": np.float64(-0.3),
    "perm": RNG.normal(size=(5, 5)),
    "k8": RNG.normal(size=(8, 1, 1)),
    "k8f": RNG.normal(size=(1, 8, 1, 1)),
    "kmap": RNG.normal(size=(6, 5)),
    "krow": RNG.normal(size=5),
    "kall": RNG.normal(size=(8, 6, 5)),
    "axes": np.array([2, 3]),
    "behind": np.array([-1, -2]),
    "one": np.array([1]),
    "none": np.zeros(0, np.int64),
    "shape2": np.array([0, -1]),
    "shape3": np.array([0, 8, 30]),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "mean": RNG.normal(size=8),
    "var": RNG.random(8) + 0.1,
    "ones": np.ones(8),
    "inf": np.float64(np.inf),
    "padding": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "minus": np.float64(-np.inf),
    "w1": weights(RNG, 1, 3, 3, 3),
    "lstm": weights(RNG, 8, 8, 3),
}
BODIES = (
    # matrices: constants of a tensor of two axes have one
    (
        "q = ReduceMean <keepdims = 0> (r, axes) a = Gemm <transB = 1> (q, g, b6) c = Gemm <transB = 1> (q, dead6, b6) "
        "s = Add (a, c) y = Relu (s)"
    ),
    (
        "q = ReduceMean <keepdims = 0> (r, axes) c = Gemm <transB = 1> (q, dead6, b6) a = Gemm <transB = 1> (q, g, b6) "
        "s = Add (c, a) t = Relu (s) y = Neg (t)"
    ),
    "q = ReduceMean <keepdims = 0> (r, behind) a = MatMul (q, gt) y = Add (a, b6)",
    "q = ReduceMean <keepdims = 0> (r, axes) y = Gemm <alpha = 0.5, transB = 1> (q, g, b6)",
    "q = ReduceMean <keepdims = 0> (r, axes) y = Gemm <beta = 2.0, transB = 1> (q, g, b16)",
    "q = ReduceMean <keepdims = 0> (r, axes) y = Gemm (q, gt, scalar)",
    "q = ReduceMean <keepdims = 0> (r, axes) t = Transpose <perm = [1, 0]> (q) y = Gemm <transA = 1> (t, gt, b16)",
    "q = ReduceMean <keepdims = 0> (r, axes) y = MatMul (q, ones)",
    "q = ReduceMean <keepdims = 0> (r, axes) y = ReduceMax <keepdims = 0> (q, none)",
    "q = ReduceMean <keepdims = 0> (r, axes) p = ReduceMax <noop_with_empty_axes = 1> (q, none) y = MatMul (p, gt)",
    "y = ReduceMean <keepdims = 0> (r)",
    "m = ReduceMax (r, one) z = Mul (r, m) " + LAST,
    "f = Reshape (r, shape2) y = ReduceMean <keepdims = 0> (f, one)",
    "f = Flatten <axis = 1> (r) y = ReduceMax <keepdims = 1> (f)",
    "f = Flatten <axis = 2> (r) y = ReduceMax <keepdims = 0> (f, one)",
    "f = Flatten <axis = -3> (r) y = ReduceMax <keepdims = 0> (f, one)",
    "f = Flatten <axis = 0> (r) y = ReduceMax <keepdims = 0> (f, one)",
    # operands of other shapes
    "z = Add (r, kmap) " + LAST,
    "z = Mul (krow, r) " + LAST,
    "z = Sub (r, kall) " + LAST,
    "z = Div (k8, r2) ".replace("r2", "h") + LAST,
    "p = Exp (h) z = Div (k8f, p) " + LAST,
    "z = Max (r, k8f, scalar) " + LAST,
    "z = Sum (r, k8, h) " + LAST,
    "o = Conv <pads = [1, 1, 1, 1]> (x, w1) z = Mul (o, r) " + LAST,
    "m = GlobalAveragePool (r) s = Sigmoid (m) z = Mul (r, s) " + LAST,
    "p = Exp (r) z = Pow (p, scalar) " + LAST,
    "l = Reshape (r, shape3) m = Add (l, l) y = ReduceMax <keepdims = 0> (m, one)",
    # other operators and more outputs
    "z, i = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r) c = Cast <to = 11> (i) s = Add (z, c) "
    + LAST.replace("(z", "(s"),
    "m = ReduceMax <keepdims = 0> (x) z = Clip (r, low, m) " + LAST,
    "z = Clip (r, low, scalar) " + LAST,
    "z = Concat <axis = -3> (r, h) " + LAST.replace("v)", "v16)"),
    "z = Concat <axis = 1> (r, r) " + LAST.replace("v)", "v16)"),
    "z = Concat <axis = 2> (r, h) " + LAST,
    f"z = Conv <group = 8, {PADS}> (r, dw2) " + LAST.replace("v)", "v16)"),
    f"z = Conv <group = 8, {PADS}> (r, dw) " + LAST,
    "z = BatchNormalization (r, ones, mean, mean, var) " + LAST,
    "z = BatchNormalization (h, var, var, var, var) " + LAST,
    'z = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (r, , scales) ' + LAST,
    "p = Pad (r, padding, minus) z = MaxPool <kernel_shape = [3, 3]> (p) " + LAST,
    "z = Min (r, inf) " + LAST,
    "z = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (r) " + LAST,
    "z = MatMul (r, perm) " + LAST,
    "m = ReduceMean <keepdims = 0> (r, axes) t = Transpose <perm = [1, 0]> (m) a = MatMul (m, t) "
    "q = MatMul (x2, a) y = Neg (q)".replace("x2", "a"),
    # a matrix that is computed, two axes of it: its columns are all read
    "s = Shape <start = 3, end = 4> (r) e = ConstantOfShape <value = double[1] {1}> (s) y = Mul (h, e)",
    # weights that are shared, asked for, or behind a branch
    f"a = Conv <{PADS}> (r, u) t = Relu (a) c = Conv <{PADS}> (t, u) z = Add (c, r) " + LAST,
    f"a = Conv <{PADS}> (r, u) c = Conv <{PADS}> (h, u) z = Add (c, a) " + LAST,
    f"a = Conv <{PADS}> (r, u, b) c = Conv <{PADS}> (a, u, b) z = Relu (c) " + LAST,
    "z = Relu (r) " + LAST,
    "n = Neg (r) z = Relu (n) " + LAST,
)


def build(body: str, outputs: str = "double y") -> ir.Model:
    """Return the model of FIRST and `body`."""
    text = f"{FIRST} {body}"
    names = {part.strip(" ,()") for part in text.replace("(", " ").split()}
    used = {name: array for name, array in TENSORS.items() if name in names}
    return with_inferred_shapes(model_from_text(text, x="double[2, 3, 6, 5] x", y=outputs, **used), "m")


def assert_compact(before: ir.Model) -> ir.Model:
    """Compact a copy, compare it with the model, and return it."""
    after = compact(copied(before))
    onnx.checker.check_model(to_bytes(after), full_check=False)
    with np.errstate(all="ignore"):
        assert furthest(before, after, X) < 1e-8
    return after


@pytest.mark.parametrize("body", BODIES)
def test_the_function_stays(body: str) -> None:
    """Whatever stands between two convolutions."""
    assert_compact(build(body))


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (LAST.replace("(z", "(r"), "double y, double[8, 3, 3, 3] w"),
        (LAST.replace("(z", "(r"), "double y, double[8] b"),
        (LAST.replace("(z", "(r"), "double y, double[4, 8, 3, 3] v"),
        (LAST.replace("(z", "(r"), "double y, double r"),
        (LAST.replace("(z", "(r"), "double y, double h"),
        (LAST.replace("(z", "(r"), "double y, double x"),
        (f"c = Conv <{PADS}> (r, u) z = Add (c, r) {LAST}", "double y, double z"),
        (f"c = Conv <{PADS}> (r, u) z = Add (c, r) {LAST}", "double y, double c"),
        (f"c = Conv <{PADS}> (r, u) z = Relu (c) {LAST}", "double y, double[8, 8, 3, 3] u"),
    ],
)
def test_what_is_asked_for_stays(body: str, outputs: str) -> None:
    """Weights, inputs and tensors inside that are outputs are given as they were."""
    before = build(body, outputs)
    after = assert_compact(before)
    assert [value.name for value in after.graph.outputs] == [value.name for value in before.graph.outputs]


def test_what_a_branch_reads_stays() -> None:
    """A tensor and a weight that a subgraph reads keep every channel there."""
    model = model_from_text(
        f"{FIRST} z = If (c) <then_branch = t () => (double[2, 8, 6, 5] p) {{ p = Neg (r) }}, "
        f"else_branch = e () => (double[2, 8, 6, 5] q) {{ q = Conv <{PADS}> (h, u) }}> "
        f"k = Conv <{PADS}> (r, u) s = Add (z, k) y = Conv <{PADS}> (s, v)",
        x="double[2, 3, 6, 5] x",
        y="double y",
        c=np.array(True),
        **{name: TENSORS[name] for name in "wbuv"},
    )
    before = with_inferred_shapes(model, "m")
    for condition in (True, False):
        before.graph.initializers["c"].const_value = ir.tensor(np.array(condition), name="c")
        assert_compact(before)
