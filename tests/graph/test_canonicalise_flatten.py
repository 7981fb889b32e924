"""A Reshape that only flattens becomes a Flatten; any other stays."""

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, furthest, model_from_text, ops, weights

from swp_export.graph.canonicalise_flatten import CanonicaliseFlatten

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
