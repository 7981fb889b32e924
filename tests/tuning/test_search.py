"""The search over whole models, with measurements whose winner is known."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from lowering_double import LoweringDouble
from tunable_models import LAYERS, SHAPE, RiggedTimer, by_lowering, compact_network, lowerings_of, portable, rigged

from swp_export.errors import LoweringError
from swp_export.graph.files.writing import serialized
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.rewrite import apply_plan_file
from swp_export.progress import silent
from swp_export.runtime.target import Target
from swp_export.tuning.cache import LayerCache
from swp_export.tuning.candidates import Candidate, Discarded
from swp_export.tuning.layer_case import counted_plan, layer_cases
from swp_export.tuning.search import ALTERNATIVES, FINALISTS, Search, alternatives, fastest_alone
from swp_export.tuning.tuned_model import TunedModel, find_tuned_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import onnx_ir as ir

    from swp_export.benchmark.measure import Instances, Schedule
    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv

DENSE = dict.fromkeys(LAYERS, "dense")
OWN = {"conv0": "dense", "conv1": "pad-slice-add", "conv2": "dense"}
ALIKE = [
    Candidate(layer=layer, lowering=name, median_ms=ms)
    for layer in LAYERS
    for name, ms in [("dense", 1.0), ("shift-sum", 1.01), ("sliced-ellpack(640)", 1.02)]
]


def search(timer: RiggedTimer) -> Search:
    """Return a search on the small network."""
    return Search(compact_network(), timer, (1, *SHAPE), lambda _: None)


def raising(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
    """Fail to build."""
    raise LoweringError("out of ideas")


def test_fastest_alone_is_as_counted_where_nothing_was_measured() -> None:
    """And each layer's fastest elsewhere, whatever the order of the candidates."""
    candidates = [
        Candidate(layer="a", lowering=name, median_ms=ms)
        for name, ms in [("dense", 3.0), ("shift", 1.0), ("cropped", 2.0)]
    ]
    assert fastest_alone({"a": "dense", "b": "cropped"}, candidates) == {"a": "shift", "b": "cropped"}


def test_alternatives_are_few_and_not_far_behind() -> None:
    """The fastest alone first, never the current one, none that took more than a quarter as much again."""
    times = {f"form {n}": 1 + n / 50 for n in range(10)}
    assert alternatives(times, "form 1") == ["form 0", "form 2", "form 3", "form 4"][:ALTERNATIVES]
    assert alternatives({"dense": 1.0, "shift": 1.3}, "dense") == []
    assert alternatives({"dense": 9.0, "shift": 1.0}, "dense") == ["shift"]


def test_alternatives_are_different_forms() -> None:
    """Names of one form have the very same time; it is not tried against itself, nor twice."""
    times = {"a": 1.0, "also a": 1.0, "b": 1.1, "also b": 1.1}
    assert alternatives(times, "also a") == ["b"]
    assert alternatives(times, "b") == ["a"]


class TestBestStart:
    """Where the refinement begins."""

    def test_keeps_the_counted_plan_when_all_are_alike(self) -> None:
        """Nothing is shown to be faster."""
        assert search(rigged(lambda _: 1.0)).best_start(OWN, DENSE, ALIKE) == OWN

    def test_takes_the_fastest_that_is_shown_to_be(self) -> None:
        """One lowering for all layers, here."""
        plan = search(rigged(by_lowering(sliced_ellpack_640=0.5, shift_sum=0.7))).best_start(DENSE, OWN, [])
        assert plan == dict.fromkeys(LAYERS, "sliced-ellpack(640)")

    def test_takes_each_layers_fastest_alone(self) -> None:
        """If together they are the fastest model."""
        alone = {"conv0": "shift-sum", "conv1": "shift", "conv2": "sliced-ellpack(640)"}
        candidates = [Candidate(layer=layer, lowering=name, median_ms=1.0) for layer, name in alone.items()]
        timer = rigged(lambda content: 0.5 if lowerings_of(content) == alone else 1.0)
        assert search(timer).best_start(DENSE, OWN, candidates) == alone

    def test_a_lowering_is_dense_where_it_was_refused(self) -> None:
        """`shift` wherever it applies is a plan, and may be the best."""
        found = search(rigged(by_lowering(shift=0.5)))
        found.discarded += [Discarded(layer=layer, lowering="shift", reason="") for layer in ("conv0", "conv2")]
        assert found.best_start(DENSE, OWN, []) == {"conv0": "dense", "conv1": "shift", "conv2": "dense"}

    def test_plans_that_do_not_build_do_not_stop_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are discarded with their reason."""
        monkeypatch.setitem(LOWERINGS, "double", LoweringDouble(raising))
        found = search(rigged(by_lowering(sliced_ellpack_640=0.5)))
        assert set(found.best_start(DENSE, OWN, []).values()) == {"sliced-ellpack(640)"}
        (hopeless,) = [d for d in found.discarded if d.lowering == "double"]
        assert (hopeless.layer, hopeless.reason) == ("(all)", "out of ideas")


class TestRefine:
    """Layer by layer."""

    def test_keeps_the_incumbent_when_nothing_is_faster(self) -> None:
        """Every alternative of every layer was measured once, the last two of each also for long."""
        found = search(rigged(lambda _: 1.0))
        assert found.refine(OWN, ALIKE, math.inf) == OWN
        others = [len({"dense", "shift-sum", "sliced-ellpack(640)"} - {OWN[layer]}) for layer in LAYERS]
        assert found.variants == sum(1 + count + 1 + min(count, FINALISTS) for count in others)

    def test_what_is_shown_to_be_slower_is_not_measured_for_long(self) -> None:
        """Only what might be faster is."""
        timer = rigged(by_lowering(shift_sum=1.1))
        assert search(timer).refine(dict.fromkeys(LAYERS, "dense"), ALIKE, math.inf) == dict.fromkeys(LAYERS, "dense")
        assert [len(models) for models in timer.compared] == [3, 2] * len(LAYERS)

    def test_what_is_far_behind_in_a_few_runs_is_not_measured_at_all(self) -> None:
        """It would take the most time of all."""
        timer = rigged(by_lowering(shift_sum=5.0, sliced_ellpack_640=0.9))
        found = search(timer).refine(dict.fromkeys(LAYERS, "dense"), ALIKE, math.inf)
        assert found == dict.fromkeys(LAYERS, "sliced-ellpack(640)")
        assert not any("shift-sum" in lowerings_of(model).values() for models in timer.compared for model in models)

    def test_keeps_the_incumbent_when_a_gain_is_noise(self) -> None:
        """Faster in the median, but not shown to be."""

        class Noisy(RiggedTimer):
            """Other noise for each model, much larger than the gain."""

            def measure(self, models: Sequence[bytes], shape: Sequence[int], schedule: Schedule) -> list[Instances]:  # noqa: ARG002
                rng = np.random.default_rng(0)
                return [
                    [list(self.seconds(model) * rng.lognormal(sigma=1, size=(8, 3))) for _ in range(2)]
                    for model in models
                ]

        base = rigged(by_lowering(shift_sum=0.999))
        timer = Noisy(**vars(base))
        assert search(timer).refine(OWN, ALIKE, math.inf) == OWN

    def test_takes_what_is_faster_in_each_layer(self) -> None:
        """Until nothing helps."""
        found = search(rigged(by_lowering(sliced_ellpack_640=0.5, shift_sum=0.7)))
        assert found.refine(OWN, ALIKE, math.inf) == dict.fromkeys(LAYERS, "sliced-ellpack(640)")

    def test_goes_round_again_when_neighbours_decide(self) -> None:
        """A change that pays only after another one is found in the next round."""
        order = ["conv0", "conv1", "conv2"]

        def seconds(content: bytes) -> float:
            plan = lowerings_of(content)
            lengths = [plan[layer] == "shift-sum" for layer in reversed(order)]
            return 1.0 - 0.1 * (lengths.index(False) if False in lengths else len(lengths))

        plan = dict.fromkeys(LAYERS, "dense")
        assert search(rigged(seconds)).refine(plan, ALIKE, math.inf) == dict.fromkeys(LAYERS, "shift-sum")

    def test_stops_at_the_deadline(self) -> None:
        """With what it has."""
        timer = rigged(by_lowering(sliced_ellpack_640=0.5))
        assert search(timer).refine(OWN, ALIKE, -math.inf) == OWN
        assert timer.compared == []

    def test_a_candidate_that_does_not_build_is_discarded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the layer it was tried in; the others are compared."""
        monkeypatch.setitem(LOWERINGS, "shift-sum", LoweringDouble(raising, name="shift-sum"))
        found = search(rigged(by_lowering(sliced_ellpack_640=0.5)))
        assert found.refine(OWN, ALIKE, math.inf) == dict.fromkeys(LAYERS, "sliced-ellpack(640)")
        assert {(d.layer, d.lowering, d.reason) for d in found.discarded} == {
            (layer, "shift-sum", "out of ideas") for layer in LAYERS
        }


class TestFindTunedModel:
    """The last comparison decides what is written."""

    @staticmethod
    def found(portable_model: bytes, folder: Path, seconds: Callable[[bytes, bool], float]) -> TunedModel:
        """Return what is found if a model takes `seconds(model, in the last comparison?)`."""
        final: list[bool] = []

        class InTwoMinds(RiggedTimer):
            def measure(
                self, models: Sequence[bytes], shape: Sequence[int], schedule: Schedule, threads: Sequence[int] = ()
            ) -> list[Instances]:
                if schedule.min_seconds >= 1:
                    final.append(True)
                return super().measure(models, shape, schedule, threads)

        timer = InTwoMinds(**vars(rigged(lambda content: seconds(content, bool(final)))))
        return find_tuned_model(portable_model, timer, SHAPE, 60, LayerCache(folder / "layers.json"), silent)

    def test_what_the_search_found(self, tmp_path: Path) -> None:
        """The content is what the plan gives, and the gains are those of the last comparison."""
        seconds = by_lowering(sliced_ellpack_640=0.5)
        fastest = self.found(portable(), tmp_path, lambda content, _: seconds(content))
        assert set(fastest.plan.layers.values()) == {"sliced-ellpack(640)"}
        assert fastest.content == apply_plan_file(portable(), fastest.plan)
        assert fastest.over_input.speedup == pytest.approx(2)
        assert fastest.over_dense.speedup == pytest.approx(2)
        assert fastest.over_dense.verdict == "faster"

    def test_falls_back_to_the_inputs_plan(self, tmp_path: Path) -> None:
        """If in the end that is shown to be faster; the model it stands for is the input, and reproducible."""
        own = portable("pad-slice-add")
        during, after = by_lowering(sliced_ellpack_640=0.5), by_lowering(pad_slice_add=0.2, sliced_ellpack_640=0.5)
        fastest = self.found(own, tmp_path, lambda content, final: (after if final else during)(content))
        assert fastest.plan.layers == lowerings_of(own) == dict.fromkeys(LAYERS, "pad-slice-add")
        assert fastest.content == apply_plan_file(own, fastest.plan)
        assert fastest.over_input.speedup == pytest.approx(1)
        assert fastest.over_dense.speedup == pytest.approx(5)

    def test_falls_back_to_compact_dense(self, tmp_path: Path) -> None:
        """If in the end that is shown to be faster."""
        own = portable("pad-slice-add")
        during, after = by_lowering(sliced_ellpack_640=0.5), by_lowering(dense=0.2, sliced_ellpack_640=0.5)
        fastest = self.found(own, tmp_path, lambda content, final: (after if final else during)(content))
        assert fastest.plan.layers == dict.fromkeys(LAYERS, "dense")
        assert fastest.content == apply_plan_file(own, fastest.plan)
        assert fastest.over_input.speedup == pytest.approx(5)
        assert fastest.over_dense.speedup == pytest.approx(1)

    @pytest.mark.parametrize(("on_one", "threads"), [(0.9, 1), (1.0, 2), (1.1, 2)])
    def test_one_thread_is_a_rival_of_two(self, tmp_path: Path, on_one: float, threads: int) -> None:
        """What is written runs on one thread where that is shown to be faster, and says so."""
        timer = rigged(by_lowering(sliced_ellpack_640=0.5), Target(threads=2))
        timer = dataclasses.replace(timer, on_one=on_one)
        cache = LayerCache(tmp_path / "layers.json")
        fastest = find_tuned_model(portable(), timer, SHAPE, 60, cache, silent)
        assert fastest.threads == fastest.plan.found_on["threads"] == threads
        assert set(fastest.plan.layers.values()) == {"sliced-ellpack(640)"}
        assert fastest.over_input.speedup == pytest.approx(2 / min(on_one, 1.0))

    def test_a_model_that_states_no_plan(self, tmp_path: Path) -> None:
        """As `--dense-out` writes it: its layers are tuned, and where nothing is faster they are as counted."""
        model = serialized(compact_network(), {})
        assert lowerings_of(model) == {}
        fastest = self.found(model, tmp_path, lambda *_: 1.0)
        assert fastest.plan.layers == counted_plan(layer_cases(compact_network(), (1, *SHAPE)), 1)
