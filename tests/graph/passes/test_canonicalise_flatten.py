"""A Reshape that only flattens becomes a Flatten; any other stays."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, ops, weights

from swp_export.graph.passes.canonicalise_flatten import CanonicaliseFlatten

RNG = np.random.default_rng(0)


def model(target: list[int], *, x: str = "double[N, 3, 4, 4] x", reshape: str = "Reshape") -> ir.Model:
    """Return a network whose classifier is reached by a Reshape to `target`."""
    return model_from_text(
        f"h = Conv <{PADS}> (x, w) f = {reshape} (h, target) y = MatMul (f, m)",
        x=x,
        y="double[N, M] y",
        w=weights(RNG, 5, 3, 3, 3),
        target=np.array(target),
        m=RNG.normal(size=(80, 2)),
    )


@pytest.mark.parametrize("x", ["double[N, 3, 4, 4] x", "double[2, 3, 4, 4] x", "double[N, 3, H, W] x"])
@pytest.mark.parametrize("target", [[0, -1], [0, 80]])
def test_flattening_reshape(x: str, target: list[int]) -> None:
    """[0, ...] flattens whatever is known of the shape; the function stays, and the columns are stated."""
    before = model(target, x=x)
    after = CanonicaliseFlatten()(copied(before)).model
    assert ops(after) == ["Conv", "Flatten", "MatMul"]
    assert furthest(before, after, RNG.normal(size=(2, 3, 4, 4))) == 0
    flattened = after.graph[1].outputs[0].shape
    assert flattened is not None
    assert flattened[1] == 80


def test_minus_one_with_all_columns() -> None:
    """[-1, D] flattens where D is all of C*H*W."""
    assert ops(CanonicaliseFlatten()(model([-1, 80])).model) == ["Conv", "Flatten", "MatMul"]


def test_minus_one_with_some_columns_stays() -> None:
    """[-1, D] with a smaller D splits images over rows: it is no Flatten."""
    rows = model_from_text(
        "y = Reshape (x, target)", x="double[N, 3, 4, 4] x", y="double[M, 24] y", target=np.array([-1, 24])
    )
    assert ops(CanonicaliseFlatten()(rows).model) == ["Reshape"]


def test_minus_one_with_the_columns_that_are_known_stays() -> None:
    """[-1, C] of maps of any size is no Flatten, though C is the product of all columns that are known."""
    rows = model_from_text(
        "y = Reshape (x, target)", x="double[N, 3, H, W] x", y="double[M, 3] y", target=np.array([-1, 3])
    )
    assert ops(CanonicaliseFlatten()(rows).model) == ["Reshape"]


def test_allowzero_stays() -> None:
    """With allowzero, 0 means an empty axis, not the batch."""
    empty = model_from_text(
        "y = Reshape <allowzero = 1> (x, target)",
        x="double[N, 3, 4, 4] x",
        y="double[M, P] y",
        target=np.array([0, 5]),
    )
    assert ops(CanonicaliseFlatten()(empty).model) == ["Reshape"]


def test_other_ranks_stay() -> None:
    """A Reshape to three axes is none."""
    other = model_from_text(
        "y = Reshape (x, target)", x="double[N, 3, 4, 4] x", y="double[N, 3, 16] y", target=np.array([0, 3, 16])
    )
    assert ops(CanonicaliseFlatten()(other).model) == ["Reshape"]


def test_zero_behind_minus_one_stays() -> None:
    """[-1, 0] copies the number of channels: it makes a row of every position, which is no Flatten."""
    rows = model_from_text(
        "y = Reshape (x, target)", x="double[N, 3, 4, 4] x", y="double[M, 3] y", target=np.array([-1, 0])
    )
    result = CanonicaliseFlatten()(rows)
    assert ops(result.model) == ["Reshape"]
    assert not result.modified


def test_columns_of_a_flatten_without_any_shape() -> None:
    """Where nothing is known of a Flatten's output, the weight that reads it states its columns."""
    flat = model_from_text(
        "f = Flatten (x) y = Gemm (f, m)", x="double[N, 3, 4, 4] x", y="double[N, 2] y", m=RNG.normal(size=(48, 2))
    )
    flat.graph[0].outputs[0].shape = None
    CanonicaliseFlatten()(flat)
    assert flat.graph[0].outputs[0].shape is not None
    assert flat.graph[0].outputs[0].shape[1] == 48


def test_a_change_is_reported() -> None:
    """The pass says that it changed something."""
    assert CanonicaliseFlatten()(model([0, -1])).modified
