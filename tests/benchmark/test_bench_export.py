"""A benchmark as files."""

import csv
import io
import json

import pytest

from swp_export.benchmark import bench
from swp_export.benchmark.export import COLUMNS, to_csv, to_json, to_markdown
from swp_export.errors import OutputError


@pytest.fixture(scope="module")
def report(tiny_proto, tmp_path_factory):
    """Return a report of a model against itself, at two batches."""
    path = tmp_path_factory.mktemp("export") / "a|b.onnx"
    path.write_bytes(tiny_proto.SerializeToString())
    return bench([path, path], batch=[1, 2], input_shape=(3, 8, 8), seconds=0.0)


def test_json_has_every_single_run(report):
    """By instance and round, in milliseconds; the document that a terminal prints does without."""
    model = json.loads(to_json(report))["models"][0]
    runs = [run for rounds in model["samples_ms"] for times in rounds for run in times]
    assert len(runs) == model["runs"]
    assert min(runs) > 0
    assert sorted(runs)[len(runs) // 2] == pytest.approx(model["median_ms"], rel=0.5)
    assert "samples_ms" not in report.to_json()["models"][0]


def test_csv_has_a_line_for_each_model_and_target(report):
    """The baseline's has no speedup."""
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [line["batch"] for line in lines] == ["1", "1", "2", "2"]
    assert [bool(line["speedup"]) for line in lines] == [False, True, False, True]
    assert float(lines[3]["speedup"]) == report.ratios[1].speedup
    assert float(lines[0]["images_per_second"]) == report.models[0].images_per_second


def test_markdown_is_a_table_with_its_conditions(report):
    """As many cells in each line, whatever a name holds, and the runtime below."""
    text = to_markdown(report)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 6
    assert {line.replace(r"\|", "").count("|") for line in table} == {len(COLUMNS) + 1}
    assert f"{report.provider} on " in text


def test_files_are_written_by_suffix(tiny_file, tmp_path):
    """All that were asked for, and none is overwritten without being told."""
    files = [tmp_path / f"bench{suffix}" for suffix in (".json", ".csv", ".md")]
    bench([tiny_file], export=files, seconds=0.0)
    assert all(file.stat().st_size for file in files)
    with pytest.raises(OutputError, match=r"bench\.csv exists already"):
        bench([tiny_file], export=files[1], seconds=0.0)


def test_another_suffix_is_refused_before_measuring(tiny_file, tmp_path):
    """The message names those that there are."""
    with pytest.raises(OutputError, match=r"\.json, \.csv, \.md"):
        bench([tiny_file], export=tmp_path / "bench.txt")
    assert list(tmp_path.iterdir()) == [tiny_file]
