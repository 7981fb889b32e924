"""The options of `bench`, as they are typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx
import onnx.parser
import pytest
from click.testing import CliRunner, Result

from swp_export.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

BRIEF = ("--seconds", "0", "--runs", "1", "--warmup", "0")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model of one operator."""
    text = '<ir_version: 8, opset_import: ["": 18]> g (float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) { y = Relu (x) }'
    path = tmp_path / "relu.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def bench(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


def test_numbers_are_crossed_and_files_written(model: Path, tmp_path: Path) -> None:
    """Threads and batches in turn; JSON on standard output and alone there, whatever the machine did."""
    table = tmp_path / "bench.md"
    done = bench(model, *BRIEF, "--threads", "1,2", "--batch", "1,4", "--export", table, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert (document["threads"], document["batch"]) == ([1, 2], [1, 4])
    assert document["environment"]["warm_up_runs"] == 0
    assert "relu.onnx" in table.read_text()


def test_streams(model: Path) -> None:
    """They are in the heading, and their throughput in the table."""
    done = bench(model, *BRIEF, "--streams", "2")
    assert done.exit_code == 0, done.output
    assert "Latency in 2 streams" in done.stdout
    assert "Images/s" in done.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--device", "gpu"], "'gpu' is not one of cpu, cuda, cuda:1, openvino"),
        (["--device", "cpu:1"], "'cpu:1' is not one of cpu, cuda, cuda:1, openvino"),
        (["--tf32"], "--tf32 would do nothing on device cpu"),
        (["--streams", "2", "--threads", "2"], "leave out --threads"),
        (["--threads", "0"], "not a list of positive numbers"),
        (["--export", "bench.xlsx"], "one of .json, .csv, .md"),
    ],
)
def test_what_makes_no_sense_is_one_line(model: Path, options: list[str], reason: str) -> None:
    """With exit code 2, before anything is measured."""
    done = bench(model, *options)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert done.stdout == ""
