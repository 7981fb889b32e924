"""A benchmark as tables."""

import dataclasses
import io

import pytest
from rich.console import Console

from swp_export.benchmark.environment import Environment
from swp_export.benchmark.layer_profile import LayerTime
from swp_export.benchmark.report import BenchReport, Comparison, ModelResult, Transfer
from swp_export.benchmark.statistics import Latency
from swp_export.command_line.bench_table import bench_tables, short_names
from swp_export.runtime.cpu import Cpu
from swp_export.runtime.target import Target

TARGET = Target(threads=2)
LATENCY = Latency(median_ms=1.25, p90_ms=2.5, p99_ms=3.75, iqr_ms=0.5, runs=123)
LAYER = LayerTime(
    layer="features.[0]", time_share=0.75, flops=2_000_000, flops_share=0.5, operators={"Conv": 0.9, "Pad": 0.1}
)
ENVIRONMENT = Environment(
    versions={"onnxruntime-gpu": "1.31.1"},
    platform="Linux",
    cpu=Cpu(model="Example CPU", features=None, cores=2),
    gpu=None,
    clock={"source": "monotonic", "resolution": 1e-9},
    options={},
)


def report(*, targets=(TARGET,), streams=1, transfer=None, layers=None, environment=ENVIRONMENT):
    """Return a report of two models on each target, the second twice as fast."""
    models = tuple(
        ModelResult(
            model=name,
            sha256="0",
            target=target,
            streams=streams,
            shape=(1, 3, 8, 8),
            latency=LATENCY,
            images_per_second=12345.6,
            samples=(),
            transfer=transfer,
            layers=layers,
        )
        for target in targets
        for name in ("a/dense.onnx", "a/tuned.onnx")
    )
    ratios = tuple(
        Comparison(
            model="a/tuned.onnx",
            baseline="a/dense.onnx",
            batch=target.batch,
            threads=target.threads,
            speedup=2.0,
            low=1.9,
            high=2.1,
            rounds=40,
        )
        for target in targets
    )
    return BenchReport(
        targets=targets,
        streams=streams,
        provider="CPUExecutionProvider",
        models=models,
        ratios=ratios,
        remarks=(),
        environment=environment,
    )


def text_of(tables):
    """Return what a wide terminal shows."""
    console = Console(file=io.StringIO(), width=160)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_latency_and_ratio_are_shown_with_their_conditions():
    """Every figure, the interval, the verdict, the provider and the threads are on the page."""
    shown = text_of(bench_tables(report()))
    for expected in (
        "1.250",
        "3.750",
        "123",
        "2.00x",
        "1.90 to 2.10",
        "faster",
        "CPUExecutionProvider",
        "2 threads",
        "12300",
    ):
        assert expected in shown
    assert "TF32" not in shown


def test_transfers_and_tf32_are_shown_on_cuda():
    """Transfers have columns of their own, and the state of TF32 is stated."""
    environment = Environment(**{**vars(ENVIRONMENT), "gpu": "NVIDIA H100", "options": {"tf32": False}})
    shown = text_of(
        bench_tables(report(transfer=Transfer(to_device_ms=0.125, from_device_ms=12.34), environment=environment))
    )
    for expected in ("0.125", "12.3", "NVIDIA H100", "TF32 off"):
        assert expected in shown


def test_threads_have_a_column_where_they_differ():
    """Each row then says its own, in both tables, within 80 columns."""
    tables = bench_tables(report(targets=(Target(), Target(threads=2))))
    assert all("Threads" in [column.header for column in table.columns] for table in tables)
    assert "Threads" not in [column.header for column in bench_tables(report())[0].columns]
    assert "1 and 2 threads" in text_of(tables)
    captions = [str(table.caption) for table in tables]
    assert max(len(line) for line in text_of(tables).splitlines() if line.strip() not in captions) <= 80


def test_streams_are_said_to_be_compared_by_throughput():
    """How many there are, and by what the ratio is."""
    shown = text_of(bench_tables(report(targets=(Target(),), streams=4)))
    for expected in ("Latency in 4 streams, throughput of all", "4 streams of one thread", "by throughput"):
        assert expected in shown


def test_what_ran_where_is_listed_on_cuda():
    """Once for each model, with the number of nodes."""
    placed = {"CUDAExecutionProvider": {"Conv": 12, "Relu": 4}, "CPUExecutionProvider": {"Shape": 2}}
    targets = (Target(device="cuda"), Target(device="cuda", batch=8))
    both = report(targets=targets)
    models = tuple(dataclasses.replace(result, placement=placed) for result in both.models)
    tables = bench_tables(dataclasses.replace(both, models=models))
    assert len(tables) == 4
    shown = text_of(tables)
    for expected in ("tuned.onnx: what ran where", "Conv 12, Relu 4", "16", "Shape 2"):
        assert expected in shown


def test_each_model_has_its_table_of_layers():
    """Share of time beside share of FLOPs, and names with brackets are not taken for markup."""
    tables = bench_tables(report(layers=(LAYER,)))
    assert len(tables) == 4
    shown = text_of(tables[2:3])
    for expected in ("features.[0]", "75.0%", "50.0%", "2.00", "Conv 90%, Pad 10%"):
        assert expected in shown


@pytest.mark.parametrize(
    ("paths", "expected"),
    [(["a/x.onnx", "a/y.onnx"], ["x.onnx", "y.onnx"]), (["a/x.onnx", "b/x.onnx"], ["a/x.onnx", "b/x.onnx"])],
)
def test_names_are_short_where_that_is_unambiguous(paths, expected):
    """Only the file name, unless two files share it."""
    assert list(short_names(paths).values()) == expected
