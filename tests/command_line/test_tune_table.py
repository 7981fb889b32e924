"""What was tuned, as tables."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from swp_export.benchmark.statistics import Speedup
from swp_export.command_line.tune_table import tune_tables
from swp_export.lowerings.plan_file import PlanFile
from swp_export.tuning.candidates import Candidate, Discarded
from swp_export.tuning.report import TuneReport
from swp_export.tuning.tuned_model import TunedModel
from swp_export.verification.comparison import compare
from swp_export.verification.report import VerificationReport
from swp_export.verification.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

RUNS = Runs(truth=np.ones((1, 10)), single=np.ones((1, 10), np.float32), moved=np.zeros(10))
TUNED = TunedModel(
    content=b"",
    plan=PlanFile(layers={"features.[0]": "shift-sum", "features.3": "dense"}, multiple=8, found_on={"device": "cpu"}),
    threads=2,
    candidates=(
        Candidate(layer="features.[0]", lowering="sliced-ellpack(640)", median_ms=0.0125),
        Candidate(layer="features.[0]", lowering="shift-sum", median_ms=0.025),
        Candidate(layer="features.[0]", lowering="dense", median_ms=0.5),
    ),
    discarded=(Discarded(layer="features.3", lowering="shift", reason="a filter has 7 live stripes"),),
    variants=17,
    over_input=Speedup(speedup=2.5, low=2.25, high=2.75, rounds=40),
    over_dense=Speedup(speedup=1.0, low=0.98, high=1.02, rounds=40),
    verification=VerificationReport(
        model="tuned",
        reference="input",
        cases=(compare(RUNS, RUNS.single, np.ones((1, 10)), case="ones", output="y"),),
        first_diverging_layer=None,
    ),
)
REPORT = TuneReport(
    model="out/[tuned].onnx",
    plan_file="plan.json",
    threads=2,
    tuned=TUNED,
)


def text_of(tables: Iterable[Table]) -> str:
    """Return what a wide terminal shows."""
    stream = io.StringIO()
    console = Console(file=stream, width=160)
    for table in tables:
        console.print(table)
    return stream.getvalue()


def row(text: str, layer: str) -> list[str]:
    """Return the cells of the line about `layer`."""
    (line,) = [line for line in text.splitlines() if layer in line]
    return re.split(r" {2,}", line.strip())


def test_each_layer_has_its_lowering_and_what_was_measured() -> None:
    """In microseconds, beside dense and the one that was the fastest alone; brackets are no markup."""
    shown = text_of(tune_tables(REPORT))
    assert row(shown, "features.[0]") == ["features.[0]", "shift-sum", "25.0", "500.0", "sliced-ellpack(640)"]
    assert "out/[tuned].onnx" in shown


def test_says_where_one_thread_is_faster() -> None:
    """And nothing of threads where it is not."""
    alone = dataclasses.replace(REPORT, tuned=dataclasses.replace(TUNED, threads=1))
    assert "run it on one thread" in text_of(tune_tables(alone))
    assert "thread" not in text_of(tune_tables(REPORT))


def test_a_layer_that_was_not_measured_has_empty_cells() -> None:
    """Time ran out before it."""
    assert row(text_of(tune_tables(REPORT)), "features.3") == ["features.3", "dense"]


def test_gains_have_interval_and_verdict() -> None:
    """Over the input and over compact dense, each as it was measured."""
    shown = text_of(tune_tables(REPORT))
    assert row(shown, "the input model") == ["the input model", "2.50x", "2.25 to 2.75", "faster"]
    assert row(shown, "compact dense") == ["compact dense", "1.00x", "0.98 to 1.02", "not distinguishable"]


def test_the_document_has_all_of_it() -> None:
    """Plan, circumstances, candidates, discarded ones with their reasons, gains."""
    document = REPORT.to_json()
    assert document["plan"] == TUNED.plan.layers
    assert (document["block"], document["found_on"], document["variants"]) == (8, {"device": "cpu"}, 17)
    assert document["candidates"][0] == {
        "layer": "features.[0]",
        "lowering": "sliced-ellpack(640)",
        "median_ms": 0.0125,
    }
    assert document["discarded"] == [
        {"layer": "features.3", "lowering": "shift", "reason": "a filter has 7 live stripes"}
    ]
    assert document["speedup_over_input"] == {"speedup": 2.5, "low": 2.25, "high": 2.75, "rounds": 40}
    assert "content" not in document
