"""What this machine can do."""

import dataclasses
import json

import pytest

from swp_export.errors import DeviceError
from swp_export.runtime import doctor as module
from swp_export.runtime.doctor import REQUIREMENTS, check_device, doctor, install_advice, runtime_advice


def test_a_session_runs_on_the_cpu():
    """The CPU provider is tried, not looked up."""
    check = check_device("cpu")
    assert check.works
    assert check.detail == "CPUExecutionProvider"


def test_the_report_is_json_and_names_every_package():
    """Every requirement and ONNX Runtime are listed, and the document survives JSON."""
    report = doctor()
    document = json.loads(json.dumps(report.to_json()))
    names = {package["name"] for package in document["packages"]}
    assert {need.name for need in REQUIREMENTS} < names
    assert [check["device"] for check in document["providers"]] == ["cpu", "cuda", "openvino"]


def test_what_fails_is_a_finding_not_an_exception(monkeypatch):
    """A device that is not available, or a package that does not import, becomes the check's detail."""
    for error in (DeviceError("no driver"), ImportError("no module onnxruntime")):

        def fail(device, error=error):
            raise error

        monkeypatch.setattr(module, "_probe", fail)
        check = check_device("cuda")
        assert (check.works, check.detail) == (False, str(error))


def test_a_wrong_result_is_not_a_working_device(monkeypatch):
    """A device that computes something else does not work."""
    monkeypatch.setattr(module, "_probe", lambda _: (8.0, "CUDAExecutionProvider"))
    assert check_device("cuda").detail == "computed 8.0, expected 9.0"


def test_two_runtimes_conflict(monkeypatch):
    """Both distributions own one module: the advice keeps the one with CUDA."""
    monkeypatch.setattr(module, "onnxruntime_distributions", lambda: ("onnxruntime", "onnxruntime-gpu"))
    (line,) = doctor().conflicts
    assert line.endswith("pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu")
    monkeypatch.setattr(module, "onnxruntime_distributions", lambda: ("onnxruntime",))
    assert doctor().conflicts == ()


def test_missing_packages_have_advice():
    """What is missing is what is advised, extras by their extra."""
    versions = {need.name: "1.0" for need in REQUIREMENTS}
    assert install_advice(versions) == ()
    assert install_advice({**versions, "torchvision": None, "torch": None}) == (
        "pip install torch: train, prune, verify --against a checkpoint",
        "pip install 'swp-export[train]': training data",
    )
    assert runtime_advice(("onnxruntime",)) == ()
    assert "onnxruntime-gpu" in runtime_advice(())[0]


@pytest.mark.parametrize(
    "change",
    [
        {"conflicts": ("two runtimes",)},
        {"providers": ()},
        {"packages": (module.Package(name="onnx", version=None, purpose="everything", optional=False),)},
    ],
)
def test_health_needs_packages_the_cpu_and_no_conflict(change):
    """Each of the three alone makes the report unhealthy; missing optional packages do not."""
    optional = module.Package(name="torchvision", version=None, purpose="training data", optional=True)
    report = dataclasses.replace(
        doctor(),
        packages=(optional,),
        providers=(module.ProviderCheck(device="cpu", works=True, detail=""),),
        conflicts=(),
    )
    assert report.healthy
    assert not dataclasses.replace(report, **change).healthy
