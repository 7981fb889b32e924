"""Stripes that are small by the largest of their layer, set to zero in the file and in its normalised form alike."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from small_models import PADS, copied, model_from_text, to_float32, weights

from swp_export.errors import ThresholdError
from swp_export.graph.float64.model import Float64Model
from swp_export.graph.normalise import normalised
from swp_export.graph.relative_threshold import Silenced, silence
from swp_export.network.relative_norms import relative_norms

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1, 3, 6, 6))


def small(*shape: int, dead: list[int], by: float = 1e-6) -> np.ndarray:
    """Return a random weight whose filters `dead` are small."""
    weight = weights(RNG, *shape)
    weight[dead] *= by
    return weight


W, V = small(6, 3, 3, 3, dead=[1, 4]), small(3, 6, 3, 3, dead=[])


def silenced(model: ir.Model, share: float) -> Silenced:
    """Apply the threshold to a model as it was read."""
    return silence(model, normalised(model, "m"), share)


def two_layers(weight: str = "w", before: str = "") -> ir.Model:
    """Return a model of two convolutions; the first one's weight is `weight`, made by `before`."""
    body = f"{before} h = Conv <{PADS}> (x, {weight}) r = Relu (h) y = Conv <{PADS}> (r, v)"
    return to_float32(model_from_text(body, w=W, v=V))


@pytest.mark.parametrize(
    "model",
    [
        two_layers(),
        two_layers("k", "k = Identity (w)"),
        two_layers("k", "t = Transpose <perm = [2, 3, 1, 0]> (w) k = Transpose <perm = [3, 2, 0, 1]> (t)"),
        two_layers(
            "k",
            "f = Constant <value_ints = [6, 3, 9]> () t = Reshape (w, f) "
            "g = Constant <value_ints = [6, 3, 3, 3]> () k = Reshape (t, g)",
        ),
        to_float32(model_from_text(f"h = Conv <{PADS}> (x, w) g = Conv <{PADS}> (x, w) y = Sub (h, g)", w=W)),
    ],
)
def test_both_forms_lose_the_same_stripes(model: ir.Model) -> None:
    """The file and its normalised form compute the same afterwards; weights that are shared lose their stripes once."""
    before = copied(model)
    found = silenced(model, 1e-3)
    assert found.stripes == 18
    assert not found.skipped
    given, plain = (Float64Model(each).run(X)["y"] for each in (found.given, found.normalised))
    assert np.array_equal(given, plain)
    assert np.array_equal(Float64Model(model).run(X)["y"], Float64Model(before).run(X)["y"])


def test_weights_in_constant_nodes() -> None:
    """A weight that a Constant node holds is replaced there."""
    model = two_layers()
    stored = model.graph.initializers.pop("w")
    node = ir.node("Constant", [], attributes={"value": stored.const_value}, outputs=[stored])
    stored.const_value = None
    model.graph.insert_before(model.graph[0], node)
    found = silenced(copied(model), 1e-3)
    assert found.stripes == 18
    assert np.array_equal(Float64Model(found.given).run(X)["y"], Float64Model(found.normalised).run(X)["y"])


def test_a_file_of_the_first_format() -> None:
    """A weight that is moved becomes a constant, which files of IR 3 knew only among the inputs."""
    model = two_layers("k", "k = Transpose <perm = [0, 1, 3, 2]> (w)")
    model.ir_version = 3
    assert silenced(model, 1e-3).given.ir_version == 4


def test_stripes_are_measured_by_their_own_layer() -> None:
    """A layer that is small as a whole keeps its stripes; zeros count as dead, and are not counted as set to zero."""
    model = to_float32(model_from_text(f"h = Conv <{PADS}> (x, w) y = Conv <{PADS}> (h, v)", w=1e-9 * W, v=V))
    found = silenced(model, 1e-3)
    assert found.stripes == 18
    assert silenced(found.given, 1e-3).stripes == 0


def test_at_most_is_dead() -> None:
    """A stripe of exactly F times the largest norm is dead, compared in float32 as skeletons are."""
    weight = np.array([4.0, 1.0, 0.5, 0.0]).reshape(4, 1, 1, 1)
    assert relative_norms(weight).ravel().tolist() == [1, 0.25, 0.125, 0]
    model = to_float32(model_from_text("y = Conv (x, w)", x="double[N, 1, H, W] x", w=weight))
    assert (silenced(model, 0.25).stripes, silenced(model, 0.24).stripes, silenced(model, 0).stripes) == (2, 1, 0)


def test_a_stripe_that_is_not_zero_is_not_at_zero() -> None:
    """However small, its relative norm is above a threshold of zero; a layer of zeros has norms of zero."""
    weight = np.array([1e30, 1e-30], np.float32).reshape(2, 1, 1, 1)
    assert (relative_norms(weight) > 0).all()
    assert not relative_norms(0 * weight).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), float("inf")])
def test_no_share(share: float) -> None:
    """It is a share: at 1 nothing would be live."""
    with pytest.raises(ThresholdError, match="at least 0 and below 1"):
        silenced(two_layers(), share)


def test_a_weight_that_is_computed_is_named() -> None:
    """It keeps its stripes, and a warning says so."""
    found = silenced(two_layers("k", "k = Neg (w)"), 1e-3)
    assert found.stripes == 0
    assert "not applied to" in found.warnings("m.onnx")[0]


def test_beyond_the_gap() -> None:
    """A threshold beyond the widest gap is warned of, with how many it cuts there; one inside is not."""
    assert not silenced(two_layers(), 1e-3).warnings("m.onnx")
    (warning,) = silenced(two_layers(), 0.5).warnings("m.onnx")
    assert "probably destroyed" in warning
    assert "swp-export inspect m.onnx" in warning
