"""Plans with int8 layers: the same plan gives the same bytes, and a plan of another model is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from int8_models import MULTIPLE, int8_model, int8_plan, ranges_of
from tunable_models import LAYERS, compact_network, portable

from swp_export.errors import InputError
from swp_export.lowerings.plan_file import PlanFile, read_plan
from swp_export.precision.mixed_plan import (
    apply_mixed_plan,
    decode_rounding,
    encode_rounding,
    integer_layers,
    mixed_bytes,
)
from swp_export.precision.scheme import Scheme

if TYPE_CHECKING:
    from pathlib import Path


def plan_file(**changes: object) -> PlanFile:
    """Return a plan with two layers in int8."""
    plan = int8_plan("shift-sum", floats=("conv1",))
    rounding = encode_rounding(Scheme(), ranges_of(plan)) | changes
    return PlanFile(layers=plan, multiple=MULTIPLE, rounding=rounding)


def test_a_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    """Written, read and applied to the portable model, a plan gives the bytes that it was found with."""
    path = tmp_path / "plan.json"
    path.write_text(plan_file().to_text())
    read = read_plan(path)
    assert read.to_text() == plan_file().to_text()
    content = apply_mixed_plan(portable(), read)
    assert content == apply_mixed_plan(portable(), read)
    assert content == apply_mixed_plan(portable("dense"), read)


def test_plans_of_another_model_are_refused() -> None:
    """A plan that lacks the range of a value names it."""
    with pytest.raises(InputError, match="states no range of"):
        apply_mixed_plan(portable(), plan_file(ranges={}))


@pytest.mark.parametrize(
    "damage",
    [
        {"ranges": {"x": [1, 2, 3]}},
        {"ranges": {"x": [0.5, 2]}},
        {"ranges": {"x": ["0", 2]}},
        {"peaks": {"x": [1e40]}},
        {"weight_bits": 9},
        {"symmetric": 1},
    ],
)
def test_damaged_plans_are_refused(damage: dict[str, object]) -> None:
    """What is no range is refused before anything is written."""
    with pytest.raises(InputError, match="no ranges of their values"):
        decode_rounding(plan_file(**damage).rounding)


def test_a_plan_without_int8_is_the_float_model() -> None:
    """All layers in float32: nothing is rounded."""
    plan = int8_plan("dense", floats=LAYERS)
    assert integer_layers(plan) == []
    assert mixed_bytes(compact_network(), plan, MULTIPLE, Scheme()) == int8_model("dense", floats=LAYERS)
