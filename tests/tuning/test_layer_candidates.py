"""Each layer's lowerings alone: what is measured, what is discarded and why, what the cache spares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from lowering_double import LoweringDouble
from small_models import from_bytes, ops
from tunable_models import LAYERS, SHAPE, RiggedTimer, compact_network, rigged

from swp_export.errors import LoweringError
from swp_export.graph.metadata import LAYER
from swp_export.lowerings import LOWERINGS, float_lowerings
from swp_export.lowerings.dense import Dense
from swp_export.runtime.session import open_session
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.layer_candidates import measure_layers
from swp_export.tuning.layer_case import LayerCase, layer_cases, layer_model, with_filled_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv
    from swp_export.tuning.candidates import Candidate, Discarded

INPUT = (1, *SHAPE)
FEW_NODES_WIN = rigged(lambda content: 1e-3 * len(from_bytes(content).graph))


def measured(
    cases: list[LayerCase], timer: RiggedTimer, cache: LayerCache, deadline: float = math.inf
) -> tuple[list[Candidate], list[Discarded]]:
    """Return what `measure_layers` does."""
    return measure_layers(cases, timer, cache, deadline=deadline, progress=lambda _: None)


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    """Return an empty one."""
    return LayerCache(tmp_path / "layers.json")


@pytest.fixture
def only_dense(monkeypatch: pytest.MonkeyPatch) -> Callable[[LoweringDouble], None]:
    """Leave no lowering but `dense`, and return what adds another."""
    for name in [name for name in LOWERINGS if name != "dense"]:
        monkeypatch.delitem(LOWERINGS, name)
    return lambda lowering: monkeypatch.setitem(LOWERINGS, lowering.name, lowering)


def test_cases_are_the_layers_where_they_stand() -> None:
    """In execution order, each with the shape of its input; all channels are the layers' own."""
    cases = layer_cases(compact_network(), INPUT)
    assert [case.conv.name for case in cases] == list(LAYERS)
    assert [case.input_shape for case in cases] == [(1, 3, 8, 8), (1, 12, 8, 8), (1, 21, 4, 4)]
    assert all(case.free for case in cases)


def test_a_convolution_that_no_plan_can_name_is_no_case() -> None:
    """One that `simplify` did not mark: a plan with its name would be refused as a whole."""
    model = compact_network()
    del next(node for node in model.graph if node.name == "conv1").metadata_props[LAYER]
    assert [case.conv.name for case in layer_cases(model, INPUT)] == ["conv0", "conv2"]


def test_the_input_is_filled_up_as_in_the_network() -> None:
    """With zeros, and only where there is a block of channels: a narrower input is an image, which nobody fills."""
    cases = [with_filled_input(case, 8) for case in layer_cases(compact_network(), INPUT)]
    assert [case.input_shape for case in cases] == [(1, 3, 8, 8), (1, 16, 8, 8), (1, 24, 4, 4)]
    assert [case.conv.channels for case in cases] == [3, 16, 24]
    assert not cases[1].conv.weight[:, 12:].any()


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("name", LOWERINGS)
def test_a_layers_model_computes_the_layer(name: str, free: bool) -> None:
    """With a Relu, and the sum of its channels; no Gather where the layer's filters may be ordered, but its own."""
    for found in layer_cases(compact_network(), INPUT):
        case = LayerCase(conv=found.conv, input_shape=found.input_shape, free=free)
        if LOWERINGS[name].why_not(case.conv) is not None:
            continue
        x = np.random.default_rng(0).normal(size=case.input_shape).astype(np.float32)
        truth, y = (
            next(iter(open_session(content).run({"input": x}).values()))
            for content in (layer_model(found, "dense", 8), layer_model(case, name, 8))
        )
        assert np.allclose(y, truth, rtol=1e-4)
        if free and name != "pad-slice-add":
            assert "Gather" not in ops(from_bytes(layer_model(case, name, 8)))


def test_candidates_are_ranked_and_the_rest_refused(cache: LayerCache) -> None:
    """Every lowering of every layer is in one of the two lists; the layer with the most work comes first."""
    candidates, discarded = measured(layer_cases(compact_network(), INPUT), FEW_NODES_WIN, cache)
    named = [(c.layer, c.lowering) for c in candidates] + [(d.layer, d.lowering) for d in discarded]
    assert sorted(named) == sorted((layer, name) for layer in LAYERS for name in float_lowerings())
    assert list(dict.fromkeys(c.layer for c in candidates)) == ["conv1", "conv2", "conv0"]
    for layer in LAYERS:
        times = [c.median_ms for c in candidates if c.layer == layer]
        assert times == sorted(times)
    assert next(c.lowering for c in candidates if c.layer == "conv1") == "dense"
    reasons = {(d.layer, d.lowering): d.reason for d in discarded}
    assert "live stripes" in reasons["conv0", "shift"]


def raises(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Fail to build."""
    raise LoweringError("out of ideas")


def broken(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Build what breaks ONNX's rules."""
    return builder.op("Conv", [x], "conv")


def not_runnable(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Build what is valid and fails for every input."""
    shape = builder.op("Mul", [builder.op("Shape", [x], "shape"), builder.indices([1, 1, 1, 2], "twice")], "wide")
    return Dense().emit(builder, builder.op("Reshape", [x, shape], "reshape"), conv)


@pytest.mark.parametrize(
    ("lowering", "reason"),
    [
        (LoweringDouble(reason="not on a Tuesday"), "not on a Tuesday"),
        (LoweringDouble(raises), "out of ideas"),
        (LoweringDouble(broken), "Conv"),
        (LoweringDouble(not_runnable), "refuses"),
    ],
)
def test_what_does_not_work_is_discarded_with_its_reason(
    lowering: LoweringDouble, reason: str, cache: LayerCache, only_dense: Callable[[LoweringDouble], None]
) -> None:
    """Refused, not built, not valid, not run: the others are measured all the same, and it is told in every run."""
    only_dense(lowering)
    cases = layer_cases(compact_network(), INPUT)
    for _ in range(2):
        candidates, discarded = measured(cases, FEW_NODES_WIN, cache)
        assert [c.lowering for c in candidates] == ["dense"] * 3
        assert [d.lowering for d in discarded] == ["double"] * 3
        assert [d.reason for d in discarded if reason not in d.reason] == []


def test_a_layer_of_which_nothing_works_has_no_candidates(cache: LayerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even `dense`: there is nothing to measure."""
    for name in LOWERINGS:
        monkeypatch.setitem(LOWERINGS, name, LoweringDouble(raises, name=name))
    candidates, discarded = measured(layer_cases(compact_network(), INPUT), FEW_NODES_WIN, cache)
    assert candidates == []
    assert len(discarded) == len(LAYERS) * len(float_lowerings())


def test_after_the_deadline_nothing_is_measured(cache: LayerCache) -> None:
    """But what the cache knows is free."""
    cases, timer = layer_cases(compact_network(), INPUT), rigged(lambda _: 1.0)
    assert measured(cases, timer, cache, deadline=-math.inf)[0] == []
    known, _ = measured(cases[:1], timer, cache)
    assert measured(cases, timer, cache, deadline=-math.inf)[0] == known
    assert len(timer.compared) == 1


def test_equal_layers_are_measured_once(cache: LayerCache) -> None:
    """In one run, and not again in the next."""
    cases, timer = layer_cases(compact_network(), INPUT), rigged(lambda _: 1.0)
    candidates, _ = measured([cases[0], cases[0]], timer, cache)
    assert len(timer.compared) == 1
    cache.save()
    assert candidates == measured([cases[0], cases[0]], timer, cache)[0]
    assert len(timer.compared) == 1
