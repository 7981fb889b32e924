"""The command as a whole: measured here, verified, and only then written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import onnx
import onnx.numpy_helper
import onnx.parser
import pytest
from click.testing import CliRunner
from lowering_double import LoweringDouble, one_percent_off
from small_models import from_bytes
from tunable_models import LAYERS, SHAPE, lowerings_of, portable

import swp_export.tuning.tuned_model as tuned_model_module
import swp_export.verification.verify as verify_module
from swp_export.benchmark.measure import Schedule
from swp_export.cli import cli
from swp_export.errors import DeviceError, InputError, LoweringError, ModelError, OutputError
from swp_export.graph.metadata import INPUT_SHAPE
from swp_export.lowerings import LOWERINGS
from swp_export.lowerings.plan_file import read_plan
from swp_export.lowerings.rewrite import apply_plan_file
from swp_export.tuning import final_race
from swp_export.tuning.tune import tune
from swp_export.verification.report import NotEquivalentError
from swp_export.verification.verify_file import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx_ir as ir

    from swp_export.graph.builder import LayerBuilder
    from swp_export.stripes import StripeConv
    from swp_export.tuning.report import TuneReport

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import swp_export.tuning.tuned_model as fastest
from swp_export.benchmark.measure import Schedule
from swp_export.cli import main
fastest.FINAL = Schedule(instances=2, min_seconds=0.01)
main()
"""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder, with a cache of its own, and a last comparison that need not be precise."""
    monkeypatch.setattr(tuned_model_module, "FINAL", Schedule(instances=2, min_seconds=0.01))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def model(brief: None, tmp_path: Path) -> Path:
    """Write the small network as `prune` does."""
    path = tmp_path / "model.onnx"
    path.write_bytes(portable())
    return path


@pytest.fixture
def written(tmp_path: Path) -> Iterator[set[str]]:
    """Return a set that is filled with the names of what is in the working folder when the test is over."""
    names: set[str] = set()
    yield names
    assert {path.name for path in (tmp_path / "work").iterdir()} == names


def run(model: Path, **options: object) -> TuneReport:
    """Tune without a search."""
    return tune(model, seconds=0, **options)  # type: ignore[arg-type]


def permuting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every search end in `sliced-ellpack(640)` everywhere, which permutes."""

    def found(*arguments: object, **options: object) -> dict[str, str]:
        return dict.fromkeys(LAYERS, "sliced-ellpack(640)")

    monkeypatch.setattr(tuned_model_module.Search, "refine", found)
    monkeypatch.setattr(
        final_race, "speedup", lambda *_: tuned_model_module.Speedup(speedup=1, low=1, high=1, rounds=1)
    )


def test_what_is_tuned_for_openvino_is_verified_there(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is in the plan, and every session that verifies the model is one of OpenVINO's."""
    pytest.importorskip("openvino")
    opened: list[str] = []
    real = verify_module.open_session
    monkeypatch.setattr(
        verify_module, "open_session", lambda given, target: (opened.append(target.device), real(given, target))[1]
    )
    monkeypatch.setattr(tuned_model_module.Search, "best_start", lambda *given: given[2])
    report = run(model, device="openvino", output="tuned.onnx", batch=2)
    assert set(opened) == {"openvino"}
    found_on = report.tuned.plan.found_on
    assert (found_on["device"], found_on["batch"], found_on["precision"]) == ("openvino", 2, "float32")
    assert "openvino" in found_on.keys() - {"device"}


def test_writes_a_verified_model_and_its_plan(model: Path, written: set[str]) -> None:
    """What the report says was written; another run of `verify` agrees, and the plan gives the model bit for bit."""
    written |= {"model-tuned.onnx", "plan.json"}
    report = tune(model, plan_out="plan.json", seconds=0.5)
    assert (report.model, report.plan_file) == ("model-tuned.onnx", "plan.json")
    assert report.verification.equivalent
    assert verify(report.model, against=model).equivalent
    plan = read_plan("plan.json")
    assert plan == report.tuned.plan
    assert set(plan.layers) == set(LAYERS)
    content = (model.parent / "work" / report.model).read_bytes()
    assert content == report.tuned.content == apply_plan_file(model.read_bytes(), plan)
    assert lowerings_of(content) == plan.layers


def test_the_plan_says_where_it_was_found(model: Path) -> None:
    """Device, threads, batch, shape, processor and runtime."""
    found_on = run(model, batch=2).tuned.plan.found_on
    assert {k: found_on[k] for k in ("device", "threads", "batch", "input_shape")} == {
        "device": "cpu",
        "threads": 1,
        "batch": 2,
        "input_shape": list(SHAPE),
    }
    assert found_on["processor"]
    assert any(name.startswith("onnxruntime") for name in found_on)


@pytest.mark.parametrize("lowering", ["dense", "pad-slice-add"])
def test_a_permuting_plan_is_verified_and_reproducible(
    lowering: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tuned model is the plan's, whichever portable model was tuned and whichever it is applied to."""
    permuting(monkeypatch)
    model.write_bytes(portable(lowering))
    report = run(model, plan_out="plan.json")
    assert set(report.tuned.plan.layers.values()) == {"sliced-ellpack(640)"}
    assert report.verification.equivalent
    for other in ("dense", "pad-slice-add"):
        assert apply_plan_file(portable(other), read_plan("plan.json")) == report.tuned.content


def test_a_wrong_lowering_is_passed_over(model: Path, monkeypatch: pytest.MonkeyPatch, written: set[str]) -> None:
    """However fast: the verification finds it, says how far off it is, and the next best plan is written."""
    written |= {"model-tuned.onnx", "plan.json"}
    permuting(monkeypatch)
    monkeypatch.setitem(LOWERINGS, "sliced-ellpack(640)", one_percent_off(LOWERINGS["sliced-ellpack(640)"]))
    report = run(model, plan_out="plan.json")
    assert report.verification.equivalent
    assert "sliced-ellpack(640)" not in read_plan("plan.json").layers.values()
    (reason,) = (found.reason for found in report.tuned.discarded if found.lowering == "found")
    assert reason.startswith("not equivalent")
    assert reason.endswith("first diverging layer: conv0")


def test_a_lowering_that_fails_does_not_stop_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason is in the report."""

    def raising(builder: LayerBuilder, x: ir.Value, conv: StripeConv) -> ir.Value:
        raise LoweringError("out of ideas")

    monkeypatch.setitem(LOWERINGS, "double", LoweringDouble(raising))
    report = tune(model, seconds=0.5)
    reasons = {d.reason for d in report.tuned.discarded if d.lowering == "double"}
    assert reasons == {"out of ideas"}
    assert report.verification.equivalent


def test_is_verified_against_what_the_input_computes(model: Path, written: set[str]) -> None:
    """Not against what its metadata says: a model whose nodes were changed since has no tuned form."""
    proto = onnx.ModelProto.FromString(portable("pad-slice-add"))
    order = next(t for t in proto.graph.initializer if t.name.startswith("conv0") and t.name.endswith("_order"))
    order.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(order)[::-1].copy(), order.name))
    model.write_bytes(proto.SerializeToString())
    with pytest.raises(NotEquivalentError):
        run(model)


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have CUDA")
def test_cuda_that_is_not_there_is_an_error(model: Path, written: set[str]) -> None:
    """Never tuned on another device instead."""
    with pytest.raises(DeviceError):
        run(model, device="cuda", plan_out="plan.json")
    result = CliRunner().invoke(cli, ["tune", str(model), "--device", "cuda"])
    assert result.exit_code == 2


def test_needs_no_torch(model: Path, written: set[str]) -> None:
    """The target machine has none."""
    written |= {"tuned.onnx", "plan.json"}
    arguments = ["tune", str(model), "-o", "tuned.onnx", "--plan-out", "plan.json", "--seconds", "0", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"] == read_plan("plan.json").layers


def test_an_unwritable_cache_is_no_error(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run measures again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(model))
    assert run(model).verification.equivalent


def test_layer_times_are_kept_for_the_next_run(model: Path, tmp_path: Path) -> None:
    """Which then has them even where there is no time to search."""
    file = tmp_path / "times.json"
    first = tune(model, seconds=0.5, cache=file).tuned.candidates
    assert first
    assert run(model, cache=file, force=True).tuned.candidates == first


def test_existing_files_need_force(model: Path, tmp_path: Path, written: set[str]) -> None:
    """Neither is touched without it."""
    written |= {"plan.json"}
    plan = tmp_path / "work" / "plan.json"
    plan.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        run(model, plan_out=plan)
    assert plan.read_text() == "mine"


def test_model_and_plan_are_two_files(model: Path, written: set[str]) -> None:
    """One would replace the other."""
    with pytest.raises(OutputError, match="named for two outputs"):
        run(model, output="tuned", plan_out="./tuned")


def test_the_input_is_never_overwritten(model: Path, written: set[str]) -> None:
    """Not even with force does the tuned model, or its plan, take the place of the model it was made of."""
    before = model.read_bytes()
    for options in ({"output": model}, {"plan_out": model}):
        with pytest.raises(OutputError, match="an input of this command"):
            tune(model, force=True, **options)
    assert model.read_bytes() == before


def test_a_model_of_another_tool_is_refused(tmp_path: Path) -> None:
    """Without layers that name themselves there is nothing to plan."""
    foreign = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        g (float[n, 1, 4, 4] x) => (float[n, 1, 4, 4] y) { y = Relu(x) }"""
    )
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match="tune what prune wrote"):
        tune(tmp_path / "foreign.onnx", output=tmp_path / "tuned.onnx", seconds=0)


def test_a_shape_that_nobody_states_is_asked_for(model: Path, written: set[str]) -> None:
    """And once given, it is used."""
    found = from_bytes(model.read_bytes())
    proto = onnx.ModelProto.FromString(model.read_bytes())
    entry = next(e for e in proto.metadata_props if e.key == INPUT_SHAPE)
    assert found.metadata_props[INPUT_SHAPE] == entry.value
    proto.metadata_props.remove(entry)
    model.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="--input-shape C,H,W"):
        run(model)
    written |= {"model-tuned.onnx"}
    assert run(model, input_shape=(3, 10, 9)).tuned.plan.found_on["input_shape"] == [3, 10, 9]


def test_a_tuned_model_can_be_tuned_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one of ours, whatever order its channels are in."""
    permuting(monkeypatch)
    first = run(model, output="first.onnx")
    assert run(model.parent / "work" / "first.onnx", output="second.onnx").verification.equivalent
    assert first.verification.equivalent
