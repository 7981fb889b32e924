"""Computed sizes are stated where they are known, and the function stays, for images of other sizes too."""

import numpy as np
import pytest
from onnx_ir.passes.common import RemoveUnusedNodesPass
from small_models import copied, model_from_text, ops

from swp_export.graph.analysis.sizes import sizes_of
from swp_export.graph.constants import array_of
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.normalise import normalised

RNG = np.random.default_rng(0)
NUMBERS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "four": np.array([4]),
    "rest": np.array([-1]),
    "eight": np.array([8, 8]),
}


def built(body: str, y: str, x: str = "double[N, 3, H, W] x") -> tuple[object, dict[str, np.ndarray]]:
    """Return the model of `body`, with its sizes inferred."""
    used = {name: array for name, array in NUMBERS.items() if f" {name}," in body or f" {name})" in body}
    return normalised(model_from_text(body, x=x, y=y, **used), "it"), used


@pytest.mark.parametrize(
    ("target", "stated"),
    [
        ("s = Shape (x) b = Gather (s, zero) t = Concat <axis = 0> (b, rest)", [0, -1]),
        ("s = Shape (x) b = Slice (s, zero, one) t = Concat <axis = 0> (b, rest)", [0, -1]),
        ("s = Shape <start = 0, end = 1> (x) t = Concat <axis = 0> (s, rest)", [0, -1]),
        ("s = Shape (x) c = Cast <to = 7> (s) b = Gather (c, zero) t = Concat <axis = 0> (b, rest)", [0, -1]),
        ("s = Shape <start = 0, end = 2> (x) t = Concat <axis = 0> (s, rest)", [0, 3, -1]),
    ],
)
def test_a_target_is_stated(target: str, stated: list[int]) -> None:
    """The batch is that of the input, what is left is -1; no size is read any more."""
    rank = ", ".join(["N", "D", "E"][: len(stated)])
    model, _ = built(f"{target} y = Reshape (x, t)", f"double[{rank}] y")
    assert ops(model) == ["Reshape"] or "Reshape" in ops(model)
    found = array_of(next(node for node in model.graph if node.op_type == "Reshape").inputs[1])
    assert found is not None
    assert found.tolist() == stated


def test_two_sizes_that_are_not_known_stay_computed() -> None:
    """A target can leave one size open."""
    model, _ = built(
        "s = Shape <start = 2> (x) t = Concat <axis = 0> (s, rest) y = Reshape (x, t)", "double[A, B, C] y"
    )
    assert array_of(next(node for node in model.graph if node.op_type == "Reshape").inputs[1]) is None


@pytest.mark.parametrize(
    "sizes",
    [
        "s = Shape <start = 0, end = 2> (x) t = Concat <axis = 0> (s, eight)",
        "s = Shape (x) a = Slice (s, zero, two) b = Slice (s, two, four) c = Mul (b, two) t = Concat <axis = 0> (a, c)",
        "s = Shape (x) a = Slice (s, zero, two) t = Concat <axis = 0> (a, four, eight_) ",
    ],
)
def test_a_resize_leaves_batch_and_channels_out(sizes: str) -> None:
    """Only the sizes of the map are left, computed or not, and it resizes as before."""
    sizes = sizes.replace("four, eight_", "four, four")
    model = model_from_text(
        f'{sizes} y = Resize <mode = "nearest"> (x, , , t)',
        x="double[N, 3, H, W] x",
        y="double[N, 3, A, B] y",
        **{name: array for name, array in NUMBERS.items() if f" {name}," in sizes or f" {name})" in sizes},
    )
    x = RNG.normal(size=(2, 3, 5, 6))
    before = Float64Model(model).run(x)["y"]
    stated = normalised(copied(model), "it")
    RemoveUnusedNodesPass()(stated)
    resize = stated.graph[-1]
    assert list(resize.attributes["axes"].as_ints()) == [2, 3]
    assert len(sizes_of(resize.inputs[3]) or []) == 2
    assert np.array_equal(Float64Model(stated).run(x)["y"], before)


def test_a_rank_that_inference_does_not_find() -> None:
    """Behind a target of known length the rank is known, so that a Softmax of an older opset can be brought over."""
    model = model_from_text(
        "s = Shape (x) b = Slice (s, zero, one) c = Cast <to = 7> (b) d = Cast <to = 7> (rest) "
        "t = Concat <axis = 0> (c, d) r = Reshape (x, t) y = Softmax <axis = 1> (r)",
        x="float[N, 3, H, W] x",
        y="float[N, D] y",
        opset=11,
        **{name: NUMBERS[name] for name in ("zero", "one", "rest")},
    )
    assert "Softmax" in ops(normalised(model, "it"))


@pytest.mark.parametrize(
    ("target", "stated"), [((-1, 3, 1, 1), [0, 3, 1, 1]), ((-1, 1, 3), [0, 1, 3]), ((3, -1), [3, -1])]
)
def test_what_is_left_is_the_size_of_the_input(target: tuple[int, ...], stated: list[int]) -> None:
    """A -1 in the place of a size of which all others are kept is that size, so that its name is not lost."""
    rank = ", ".join("ABCD"[: len(target)])
    model = model_from_text(
        "y = Reshape <allowzero = 1> (x, t)", x="double[N, 3] x", y=f"double[{rank}] y", t=np.array(target)
    )
    found = array_of(normalised(model, "it").graph[0].inputs[1])
    assert found is not None
    assert found.tolist() == stated
