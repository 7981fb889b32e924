"""In int8 the fastest is written that is what it says: a mix, int8 compact dense, or the tuned float32 model itself."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import from_bytes
from tunable_models import LAYERS, SHAPE, lowerings_of, portable, rigged

from swp_export.benchmark.measure import Schedule
from swp_export.cli import cli
from swp_export.graph.metadata import LAYER
from swp_export.lowerings.plan_file import read_plan
from swp_export.precision.images import Images
from swp_export.precision.integer_reference import is_quantised
from swp_export.precision.mixed_plan import INT8, apply_mixed_plan, integer_layers
from swp_export.precision.scheme import Scheme
from swp_export.progress import silent
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.integer_forms import IntegerForms
from swp_export.tuning.integer_tuning import IntegerSettings, find_integer_model
from swp_export.tuning.tuned_model import TunedModel, find_tuned_model

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.random.default_rng(0).standard_normal((16, *SHAPE), np.float32)
IMAGES = Images(images=X, labels=None, name="noise")


def rounded_layers(content: bytes) -> set[str]:
    """Return the layers of a model that are in int8."""
    return {
        node.metadata_props[LAYER]
        for node in from_bytes(content).graph
        if node.op_type == "DequantizeLinear" and LAYER in node.metadata_props
    }


@functools.cache
def tuned_float32() -> TunedModel:
    """Return what was found in float32 on a machine on which everything takes as long."""
    return find_tuned_model(portable(), rigged(lambda _: 1.0), SHAPE, 0.0, LayerCache(Path(os.devnull)), silent)


def found(seconds: Callable[[bytes], float], tmp_path: Path, **settings: object) -> TunedModel:
    """Tune on a machine on which `seconds` decides."""
    wanted, cache = IntegerSettings(images=IMAGES, **settings), LayerCache(tmp_path / "cache.json")  # type: ignore[arg-type]
    return find_integer_model(
        portable(), tuned_float32(), rigged(seconds), SHAPE, 600.0, wanted, cache, progress=silent
    )


def test_int8_is_written_where_it_is_faster(tmp_path: Path) -> None:
    """Where every int8 layer gains, all are int8, in the form that gains most; the report says what it is."""

    def seconds(content: bytes) -> float:
        forms = lowerings_of(content)
        return 4.0 - len(rounded_layers(content)) - 0.2 * sum(name == "shift-sum" for name in forms.values())

    tuned = found(seconds, tmp_path)
    assert integer_layers(tuned.plan.layers) == list(LAYERS)
    assert set(tuned.plan.layers.values()) == {f"{INT8}shift-sum"}
    assert tuned.quantised is not None
    assert tuned.quantised.equivalent
    assert set(tuned.over_rivals) == {"int8 compact dense", "tuned float32"}
    assert all(gain.low > 1 for gain in tuned.over_rivals.values())


def test_precision_is_mixed_where_that_is_fastest(tmp_path: Path) -> None:
    """A layer that int8 slows down stays in float32, in the form that was found for it."""

    def seconds(content: bytes) -> float:
        integers = rounded_layers(content)
        return 4.0 - len(integers) + 1.5 * ("conv1" in integers)

    tuned = found(seconds, tmp_path)
    assert integer_layers(tuned.plan.layers) == ["conv0", "conv2"]
    assert rounded_layers(tuned.content) == {"conv0", "conv2"}


def test_float32_is_written_where_int8_is_slower(tmp_path: Path) -> None:
    """The tuned float32 model is in the race; where nothing beats it, it is written itself."""
    tuned = found(lambda content: 1.0 + len(rounded_layers(content)), tmp_path)
    assert not is_quantised(from_bytes(tuned.content))
    assert tuned.plan.rounding is None
    assert tuned.quantised is None


def test_sensitive_layers_go_back_to_float32() -> None:
    """No more predictions change than allowed, and no more layers are float32 than that takes."""
    forms = IntegerForms(portable(), 8, Scheme(), IMAGES, "minmax")
    plan, floats = dict.fromkeys(LAYERS, f"{INT8}dense"), dict.fromkeys(LAYERS, "dense")
    drops = {layer: len(LAYERS) - n for n, layer in enumerate(LAYERS)}
    forms._drop = lambda each: float(sum(drops[layer] for layer in integer_layers(each)))  # type: ignore[method-assign]
    forms._snr = lambda _, each: -float(drops[integer_layers(each)[0]])  # type: ignore[method-assign]
    assert integer_layers(forms.within(3.0, plan, floats)) == ["conv1", "conv2"]
    assert integer_layers(forms.within(1.0, plan, floats)) == ["conv2"]
    assert integer_layers(forms.within(0.0, plan, floats)) == []
    assert forms.within(None, plan, floats) == plan


def test_the_unpruned_network_is_in_the_race(tmp_path: Path) -> None:
    """Its int8 form is measured in the same run."""
    tuned = found(lambda content: 4.0 - len(rounded_layers(content)), tmp_path, unpruned=portable("dense"))
    assert "int8 of the unpruned network" in tuned.over_rivals


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tune --precision int8` writes model and plan; `verify` takes the model, and the plan gives the same bytes."""
    source, data, out, plan = (str(tmp_path / name) for name in ("m.onnx", "d.npz", "o.onnx", "p.json"))
    for module in ("integer_tuning", "tuned_model"):
        short = Schedule(min_runs=2, min_seconds=0, instances=2, window_seconds=0)
        monkeypatch.setattr(f"swp_export.tuning.{module}.FINAL", short)
    Path(source).write_bytes(portable())
    truth = np.asarray(IMAGES.images)
    np.savez(data, images=truth, labels=np.zeros(len(truth), np.int64))
    arguments = ["tune", source, "--precision", "int8", "--data", data, "-o", out, "--plan-out", plan, "--seconds", "0"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    read = read_plan(plan)
    if read.rounding is not None:  # else float32 was faster on this machine
        assert apply_mixed_plan(portable(), read) == Path(out).read_bytes()
    checked = CliRunner().invoke(cli, ["verify", out, "--against", source], catch_exceptions=False)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--precision", "int8"], "pass --data"),
        (["--max-accuracy-drop", "1"], "--precision int8"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], said: str, tmp_path: Path) -> None:
    """int8 without images, and options of int8 without it, are refused with what to do."""
    source = tmp_path / "m.onnx"
    source.write_bytes(portable())
    done = CliRunner().invoke(cli, ["tune", str(source), *arguments])
    assert done.exit_code == 2
    assert said in done.stderr
