"""From a portable model and a plan to one model, whatever the portable model was written by."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from small_models import from_bytes, furthest, to_bytes
from tunable_models import LAYERS, SHAPE, compact_network, lowerings_of, portable

from swp_export.errors import LoweringError, ModelError
from swp_export.graph.convolutions import iterate_stripe_convs
from swp_export.graph.metadata import FILTERS, LAYER, LOWERING, SUNK, input_shape_of
from swp_export.graph.passes.order_channels import free_layers
from swp_export.graph.pipeline import compact
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.plan_file import PlanFile
from swp_export.lowerings.rewrite import apply_plan_file, compact_from_portable, multiple_of, plan_of, planned_bytes

if TYPE_CHECKING:
    from real_networks import Pruned

PLANS = {
    **{name: dict.fromkeys(LAYERS, name) for name in ("dense", "sliced-ellpack(640)", "shift-chunks", "cropped")},
    "mixed": {"conv0": "split(2, shift-sum)", "conv1": "shift", "conv2": "sliced-ellpack(10)"},
    "partly dense": {"conv0": "dense", "conv1": "sliced-ellpack(640)", "conv2": "split(2, dense)"},
    "partly stated": {"conv2": "shift-sum"},
}
WRITTEN_BY = ["dense", *(name for name in LOWERINGS if name != "dense")]


@pytest.mark.parametrize("plan", PLANS)
def test_the_same_bytes_from_every_portable_model(plan: str) -> None:
    """Written by `--lowering dense` or any other: one plan gives one file, bit for bit."""
    for multiple in (8, 16):
        contents = {planned_bytes(compact_from_portable(portable(n)), PLANS[plan], multiple) for n in WRITTEN_BY}
        assert len(contents) == 1


def test_zeros_of_a_mask_have_no_sign_left() -> None:
    """A mask leaves -0.0 in dead stripes, which breaking a layer forgets: in a plan's model there is none."""
    compact = compact_network()
    signs = [np.signbit(array[array == 0]).any() for array in weights_of(compact)]
    assert any(signs)
    planned = from_bytes(planned_bytes(compact, {}, 8))
    assert not any(np.signbit(array[array == 0]).any() for array in weights_of(planned))
    assert [np.signbit(array[array == 0]).any() for array in weights_of(compact)] == signs


def weights_of(model: ir.Model) -> list[np.ndarray]:
    """Return the weights of the layers."""
    nodes = [node for node in model.graph if node.op_type == "Conv" and LAYER in node.metadata_props]
    return [ir.convenience.get_const_tensor(node.inputs[1]).numpy() for node in nodes]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("plan", PLANS)
def test_the_function_stays(plan: str) -> None:
    """Compared in float64, and the model's own facts are kept."""
    before = portable()
    after = from_bytes(apply_plan_file(before, PlanFile(layers=PLANS[plan], multiple=8)))
    x = np.random.default_rng(0).normal(size=(2, *SHAPE))
    assert furthest(from_bytes(before), after, x) < 1e-5
    assert input_shape_of(after) == SHAPE


def test_the_compact_model_is_left_as_it_is() -> None:
    """So that one compact model serves a whole search."""
    compact = compact_from_portable(portable())
    before = ir.to_proto(compact).SerializeToString(deterministic=True)
    planned_bytes(compact, PLANS["mixed"], 8)
    assert ir.to_proto(compact).SerializeToString(deterministic=True) == before


def test_a_model_states_its_plan() -> None:
    """The one that it was written by, layer by layer."""
    content = planned_bytes(compact_network(), PLANS["mixed"], 8)
    assert plan_of(content) == PLANS["mixed"] == lowerings_of(content)


@pytest.mark.parametrize("layers", [{"conv9": "dense"}, {"conv0": "magic"}, {"conv0": "shift"}])
def test_a_plan_for_another_model_is_refused(layers: dict[str, str]) -> None:
    """An unknown layer, an unknown lowering, one that refuses the layer."""
    plan = PlanFile(layers=layers, multiple=8)
    with pytest.raises(LoweringError):
        apply_plan_file(portable(), plan)
    assert apply_plan_file(portable(), dataclasses.replace(plan, layers={}))


@pytest.mark.parametrize(("network", "free"), [("vgg16", 13), ("resnet56", 27)])
def test_channels_that_were_free_are_free_in_the_file(network: str, free: int, request: pytest.FixtureRequest) -> None:
    """The way through a file costs no layer the freedom of its channels, though the file states no shapes inside."""
    pruned: Pruned = request.getfixturevalue(network)
    before = free_by_layer(compact(from_bytes(pruned.dense)))
    assert sum(before.values()) == free
    assert free_by_layer(compact_from_portable(pruned.content)) == before


def free_by_layer(model: ir.Model) -> dict[str, bool]:
    """Return whether the channels of each layer are its own."""
    free = free_layers(model.graph)
    return {conv.name: node.name in free for node, conv in iterate_stripe_convs(model.graph)}


@pytest.mark.parametrize("multiple", [8, 16])
def test_a_tuned_model_gives_the_same_bytes_too(multiple: int) -> None:
    """Zeros that filled up its blocks are dropped, its channels come back to their first order."""
    tuned = planned_bytes(compact_from_portable(portable()), PLANS["mixed"], multiple)
    for plan in PLANS.values():
        again, once = (planned_bytes(compact_from_portable(model), plan, 8) for model in (tuned, portable()))
        assert again == once


def test_a_form_that_is_no_more_was_dense() -> None:
    """A model that an earlier version tuned can be tuned again."""
    model = from_bytes(portable("shift-sum"))
    for node in model.graph:
        if node.metadata_props.get(LOWERING) == "shift-sum":
            node.metadata_props[LOWERING] = "shift-groups"
    assert set(plan_of(to_bytes(model)).values()) == {"dense"}


def test_former_names_are_read() -> None:
    """A model that an earlier version tuned states them, and is written as the same bytes as one of this version."""
    model, tuned = from_bytes(portable("sliced-ellpack(640)")), portable("sliced-ellpack(640)")
    for node in model.graph:
        if node.metadata_props.get(LOWERING) == "sliced-ellpack(640)":
            node.metadata_props[LOWERING] = "levels(640)"
    former = to_bytes(model)
    assert former != tuned
    assert plan_of(former) == plan_of(tuned)
    assert planned_bytes(compact_from_portable(former), plan_of(former), multiple_of(former)) == tuned


def test_a_model_says_what_it_takes_to_write_it_again() -> None:
    """Its plan and its multiple give the same bytes, so that `tune` can leave it as it is."""
    tuned = planned_bytes(compact_network(), PLANS["mixed"], 16)
    assert multiple_of(tuned) == 16
    assert planned_bytes(compact_from_portable(tuned), plan_of(tuned), multiple_of(tuned)) == tuned


@pytest.mark.parametrize("text", ["30:ffffffff", "5:f8", "0:", "16:ffff:3,-1,0"])
def test_filters_that_do_not_fit_are_damage(text: str) -> None:
    """Not a defect of ours: one line, exit code 2."""
    model = from_bytes(portable("dense"))
    for node in model.graph:
        if FILTERS in node.metadata_props:
            node.metadata_props[FILTERS] = text
    with pytest.raises(ModelError, match="metadata is damaged"):
        compact_from_portable(to_bytes(model))


@pytest.mark.parametrize("text", ["nope", "[1]", "3"])
def test_names_that_are_none_are_damage(text: str) -> None:
    """Of an operator that was sunk into the branches of a Concat."""
    model = from_bytes(portable("cropped"))
    sunk = [node for node in model.graph if SUNK in node.metadata_props]
    assert sunk
    for node in sunk:
        node.metadata_props[SUNK] = text
    with pytest.raises(ModelError, match="metadata is damaged"):
        compact_from_portable(to_bytes(model))
