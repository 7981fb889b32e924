"""A channel shuffle becomes one Gather, of the same channels, and nothing else does."""

import numpy as np
import pytest
from small_models import copied, model_from_text, ops

from swp_export.graph.float64.model import Float64Model
from swp_export.graph.passes.gather_shuffle import GatherShuffle

RNG = np.random.default_rng(0)
SHUFFLE = "a = Reshape (x, s) b = Transpose <perm = [0, 2, 1, 3, 4]> (a) y = Reshape (b, t)"


@pytest.mark.parametrize(
    ("split", "joined"),
    [((-1, 2, 3, 4, 5), (-1, 6, 4, 5)), ((0, 3, 2, 4, 5), (2, 6, 4, 5)), ((2, 2, 3, 4, -1), (0, 6, 4, 5))],
)
def test_a_shuffle_is_a_gather(split: tuple[int, ...], joined: tuple[int, ...]) -> None:
    """Whatever states the sizes, the maps are moved to the same places."""
    model = model_from_text(
        SHUFFLE, x="double[2, 6, 4, 5] x", y="double[2, 6, 4, 5] y", s=np.array(split), t=np.array(joined)
    )
    gathered = GatherShuffle()(copied(model)).model
    assert [node.op_type for node in gathered.graph if node.outputs[0].name == "y"] == ["Gather"]
    x = RNG.normal(size=(2, 6, 4, 5))
    assert np.array_equal(Float64Model(model).run(x)["y"], Float64Model(gathered).run(x)["y"])


@pytest.mark.parametrize(
    ("body", "split", "joined"),
    [
        (SHUFFLE.replace("[0, 2, 1, 3, 4]", "[0, 2, 1, 4, 3]"), (2, 2, 3, 4, 5), (2, 6, 5, 4)),
        (SHUFFLE, (2, 2, 3, 5, 4), (2, 6, 5, 4)),
        (SHUFFLE, (2, 2, 3, 4, 5), (2, 6, 5, 4)),
        (SHUFFLE, (2, 2, 3, 4, 5), (2, 3, 8, 5)),
    ],
)
def test_other_moves_stay(body: str, split: tuple[int, ...], joined: tuple[int, ...]) -> None:
    """A Transpose of maps too, or sizes that are joined otherwise, are no shuffle."""
    shape = ", ".join(map(str, joined))
    model = model_from_text(
        body, x="double[2, 6, 4, 5] x", y=f"double[{shape}] y", s=np.array(split), t=np.array(joined)
    )
    assert not GatherShuffle()(model).modified
    assert ops(model) == ["Reshape", "Transpose", "Reshape"]


def test_what_is_read_in_between_stays() -> None:
    """A Transpose that something else reads is left."""
    model = model_from_text(
        SHUFFLE + " z = Neg (b)",
        x="double[2, 6, 4, 5] x",
        y="double[2, 6, 4, 5] y, double[2, 3, 2, 4, 5] z",
        s=np.array([2, 2, 3, 4, 5]),
        t=np.array([2, 6, 4, 5]),
    )
    assert not GatherShuffle()(model).modified
