"""The command `check`: every gate of every model is judged, whatever happens to another one."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from junit_schema import violations
from small_models import from_bytes, model_from_text, to_bytes

import swp_export
from swp_export.cli import cli
from swp_export.gates.check import check
from swp_export.graph.analysis.counts import executed, stored_floats

if TYPE_CHECKING:
    from swp_export.gates.report import GateResult

SCHEMA = json.loads((Path(swp_export.__file__).parent / "gates" / "check.schema.json").read_text(encoding="utf-8"))
SHAPE = (3, 4, 4)


def classifier(*, scale: float = 1.0, order: tuple[int, ...] = (0, 1, 2)) -> bytes:
    """Return a float32 model that gives a convolution's means as scores, in `order`."""
    weight = np.eye(3, dtype=np.float32)[:, :, None, None] * np.ones((1, 1, 3, 3), np.float32) * np.float32(scale)
    model = model_from_text(
        "a = Conv <pads = [1, 1, 1, 1]> (x, w) p = GlobalAveragePool (a) f = Flatten (p) y = Gather <axis = 1> (f, i)",
        x="float[N, 3, 4, 4] x",
        y="float[N, 3] y",
        w=weight,
        i=np.array(order, np.int64),
    )
    return to_bytes(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models and labelled images, of which the right model gets all right."""
    folder = tmp_path_factory.mktemp("gates")
    (folder / "right.onnx").write_bytes(classifier())
    (folder / "same.onnx").write_bytes(classifier())
    (folder / "off.onnx").write_bytes(classifier(scale=1.01))
    (folder / "wrong.onnx").write_bytes(classifier(order=(1, 0, 2)))
    (folder / "damaged.onnx").write_bytes(b"\x08")
    classes = np.array([0, 1, 2, 2])
    images = np.eye(3, dtype=np.float32)[classes][:, :, None, None] * np.ones((1, 1, 4, 4), np.float32)
    np.savez(folder / "test.npz", images=images, labels=classes)
    np.savez(folder / "unlabelled.npz", images=images)
    return folder


def judged(folder: Path, keys: str, model: str = "right") -> dict[str, GateResult]:
    """Return what the gates of one model found."""
    path = folder / "one.toml"
    path.write_text(f'[models.one]\nmodel = "{model}.onnx"\n{keys}\n', encoding="utf-8")
    (found,) = check(path).models
    return {gate.gate: gate for gate in found.gates}


@pytest.mark.parametrize(("gate", "key"), [("size", "max_bytes"), ("parameters", "max_params"), ("FLOPs", "max_flops")])
def test_counts_are_judged_to_the_last_one(folder: Path, gate: str, key: str) -> None:
    """A model may have as many as allowed, and not one more; they are counted as `prune` does."""
    content = (folder / "right.onnx").read_bytes()
    model = from_bytes(content)
    count = {
        "size": len(content),
        "parameters": stored_floats(model).total,
        "FLOPs": executed(model, SHAPE).products,
    }[gate]
    passed = judged(folder, f"{key} = {count}")[gate]
    missed = judged(folder, f"{key} = {count - 1}")[gate]
    assert (passed.status, passed.found, passed.limit) == ("passed", count, count)
    assert (missed.status, missed.found, missed.limit) == ("missed", count, count - 1)


def test_equivalence_is_judged(folder: Path) -> None:
    """The same network passes, one whose weights are off by a hundredth does not, and says where."""
    passed = judged(folder, 'against = "same.onnx"')["equivalence"]
    missed = judged(folder, 'against = "same.onnx"', "off")["equivalence"]
    assert passed.status == "passed"
    assert passed.found is not None
    assert passed.found <= 1
    assert missed.status == "missed"
    assert missed.message.startswith("not equivalent: output 'y'")
    assert judged(folder, 'against = "same.onnx"\natol = 1.0\nrtol = 1.0', "off")["equivalence"].status == "passed"


def test_accuracy_is_judged(folder: Path) -> None:
    """Of a model alone, and what it loses against a baseline; exactly the limit passes."""
    labelled = 'data = "test.npz"\n'
    alone = judged(folder, labelled + "min_accuracy = 100")["accuracy"]
    assert (alone.status, alone.found) == ("passed", 100)
    found = judged(folder, labelled + 'baseline = "right.onnx"\nmin_accuracy = 50.1\nmax_accuracy_drop = 50', "wrong")
    assert (found["accuracy"].status, found["accuracy"].found) == ("missed", 50)
    assert (found["accuracy drop"].status, found["accuracy drop"].found) == ("passed", 50)
    lost = judged(folder, labelled + 'baseline = "right.onnx"\nmax_accuracy_drop = 49.9', "wrong")["accuracy drop"]
    assert lost.status == "missed"


def test_accuracy_is_compared_with_what_it_must_be_equivalent_to(folder: Path) -> None:
    """Without a baseline; a model that is not equivalent still has its accuracy judged."""
    found = judged(folder, 'data = "test.npz"\nagainst = "right.onnx"\nmax_accuracy_drop = 10', "wrong")
    assert (found["equivalence"].status, found["accuracy drop"].found) == ("missed", 50)


def test_labels_are_needed(folder: Path) -> None:
    """Accuracy on images without labels is not judged, which is no pass."""
    gate = judged(folder, 'data = "unlabelled.npz"\nmin_accuracy = 1')["accuracy"]
    assert gate.status == "not judged"
    assert "labels" in gate.message


def test_speed_is_judged_by_its_interval(folder: Path) -> None:
    """What no machine could miss passes, what none could reach does not; the interval is told."""
    speed = 'baseline = "same.onnx"\nseconds = 0.001\n'
    found = judged(folder, speed + "min_speedup = 0.001\nmax_latency_ms = 100_000")
    assert (found["speedup"].status, found["latency"].status) == ("passed", "passed")
    assert found["speedup"].interval is not None
    far = judged(folder, speed + "min_speedup = 10_000\nmax_latency_ms = 1e-6")
    assert (far["speedup"].status, far["latency"].status) == ("missed", "missed")


def test_a_model_is_as_fast_as_itself(folder: Path) -> None:
    """The baseline among the models passes a speedup of 1 and no more, without a measurement's noise."""
    own = 'baseline = "right.onnx"\nseconds = 0.001\n'
    assert judged(folder, own + "min_speedup = 1")["speedup"].status == "passed"
    assert judged(folder, own + "min_speedup = 1.1")["speedup"].status == "missed"


def test_an_absent_device_is_not_judged(folder: Path) -> None:
    """What runs on it is not judged either; what needs no device is."""
    found = judged(folder, 'device = "cuda:99"\nmax_latency_ms = 1e6\nmax_bytes = 1_000_000')
    assert {gate.gate: gate.status for gate in found.values()} == {
        "device": "not judged",
        "size": "passed",
        "latency": "not judged",
    }
    assert judged(folder, 'device = "cpu"')["device"].status == "passed"


def test_a_package_that_is_missing_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only models run, a checkpoint to compare with is not judged, and the missing package is named."""
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    (folder / "some.pth").write_bytes(b"PK\x03\x04")
    gate = judged(folder, 'against = "some.pth"')["equivalence"]
    assert gate.status == "not judged"


MIXED = """
[defaults]
max_bytes = 100_000
[models.damaged]
model = "damaged.onnx"
[models.absent]
model = "absent.onnx"
max_params = 3
[models.good]
model = "right.onnx"
against = "same.onnx"
[models.wrong]
model = "wrong.onnx"
against = "same.onnx"
"""


def run(folder: Path, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in `folder`, on a terminal of 80 columns."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    return CliRunner().invoke(cli, ["check", *arguments])


def test_one_model_hides_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged and absent files are errors of their own gates; a missed gate outweighs them in the exit code."""
    (folder / "mixed.toml").write_text(MIXED, encoding="utf-8")
    done = run(folder, "mixed.toml", "--json", "--junit", "mixed.xml", "--force", monkeypatch=monkeypatch)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert list(document)[:2] == ["command", "schema_version"]
    found = {model["name"]: [gate["status"] for gate in model["gates"]] for model in document["models"]}
    assert found == {
        "damaged": ["not judged"],
        "absent": ["not judged", "not judged"],
        "good": ["passed", "passed"],
        "wrong": ["passed", "missed"],
    }
    assert document["counts"] == {"passed": 3, "missed": 1, "not_judged": 3}
    assert "1 of 4 models pass: 3 gates passed, 1 missed, 3 not judged" in done.stderr
    text = (folder / "mixed.xml").read_text(encoding="utf-8")
    assert violations(text) == []
    suites = {suite.attrib["name"]: suite for suite in ET.fromstring(text)}  # noqa: S314 # our own document
    assert [suite.get("errors") for suite in suites.values()] == ["1", "2", "0", "0"]
    assert [suite.get("failures") for suite in suites.values()] == ["0", "0", "0", "1"]
    assert suites["good"].find("properties/property[@name='sha256']") is not None


def test_exit_codes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 where all pass, 2 where one could not be judged and none was missed; the table fits and says why."""
    (folder / "good.toml").write_text('[models.good]\nmodel = "right.onnx"\nmax_bytes = 10_000', encoding="utf-8")
    good = run(folder, "good.toml", monkeypatch=monkeypatch)
    assert good.exit_code == 0, good.output
    assert good.stdout.startswith("1 of 1 model passes: 1 gate passed\n")
    (folder / "absent.toml").write_text('[models.a]\nmodel = "none.onnx"\nmax_bytes = 10_000', encoding="utf-8")
    absent = run(folder, "absent.toml", monkeypatch=monkeypatch)
    assert absent.exit_code == 2
    assert "a, size not judged: cannot read none.onnx" in absent.stdout
    assert max(map(len, absent.stdout.splitlines())) <= 80


def test_a_typing_error_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key exits with 2 and a suggestion, and nothing is written."""
    (folder / "typo.toml").write_text('[models.a]\nmodel = "right.onnx"\nmax_byte = 1', encoding="utf-8")
    done = run(folder, "typo.toml", "--junit", "typo.xml", monkeypatch=monkeypatch)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("has 'max_byte', which is not known; did you mean max_bytes?")
    assert not (folder / "typo.xml").exists()


def test_what_is_read_is_not_written_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with --force."""
    (folder / "good.toml").write_text('[models.good]\nmodel = "right.onnx"\nmax_bytes = 10_000', encoding="utf-8")
    for target in ("right.onnx", "good.toml"):
        done = run(folder, "good.toml", "--junit", target, "--force", monkeypatch=monkeypatch)
        assert done.exit_code == 2
        assert "never overwritten" in done.stderr


def test_the_schema_can_refuse(folder: Path) -> None:
    """A document without its version, or with a status of another name, is found."""
    path = folder / "good.toml"
    path.write_text('[models.good]\nmodel = "right.onnx"\nmax_bytes = 10_000', encoding="utf-8")
    document = check(path).to_json()
    jsonschema.validate(document, SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert not validator.is_valid({key: value for key, value in document.items() if key != "schema_version"})
    document["models"][0]["gates"][0]["status"] = "fine"
    assert not validator.is_valid(document)
