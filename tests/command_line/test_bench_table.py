"""A benchmark as tables."""

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


def report(*, transfer=None, layers=None, environment=ENVIRONMENT):
    """Return a report of two models, the second twice as fast."""
    models = tuple(
        ModelResult(
            model=name, sha256="0", batch=1, shape=(1, 3, 8, 8), latency=LATENCY, transfer=transfer, layers=layers
        )
        for name in ("a/dense.onnx", "a/tuned.onnx")
    )
    ratio = Comparison(
        model="a/tuned.onnx",
        baseline="a/dense.onnx",
        batch=1,
        speedup=2.0,
        low=1.9,
        high=2.1,
        rounds=40,
    )
    return BenchReport(
        target=Target(threads=2),
        provider="CPUExecutionProvider",
        batches=(1,),
        models=models,
        ratios=(ratio,),
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
    for expected in ("1.250", "3.750", "123", "2.00x", "1.90 to 2.10", "faster", "CPUExecutionProvider", "2 threads"):
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
