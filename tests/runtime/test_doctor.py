"""What this machine can do."""

import dataclasses
import json

import pytest

from swp_export.distributions import DISTRIBUTIONS
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
    whole, cpu, runtime, _ = DISTRIBUTIONS
    assert install_advice(versions, whole) == ()
    assert install_advice({**versions, "torchvision": None, "torch": None}, whole) == (
        "pip install torch: train, prune, verify --against a checkpoint",
        "pip install 'swp-export[train]': training data",
    )
    assert install_advice({**versions, "torch": None, "rich": None}, runtime) == (
        "pip install rich: tables and progress",
    )
    assert runtime_advice(("onnxruntime",), whole) == ()
    assert "onnxruntime-gpu" in runtime_advice((), whole)[0]
    assert runtime_advice((), cpu) == ("pip install onnxruntime: running models",)


def test_a_machine_that_runs_models_is_healthy_without_torch(monkeypatch):
    """What its distribution leaves out is neither missing nor advised, and the report says what it is for."""
    (runtime,) = (each for each in DISTRIBUTIONS if each.name == "swp-export-runtime")
    without = {"torch", "torchvision", "safetensors", "onnxscript", "openvino"}
    monkeypatch.setattr(module, "installed_distributions", lambda: (runtime,))
    monkeypatch.setattr(module, "onnxruntime_distributions", lambda: ("onnxruntime",))
    monkeypatch.setattr(module, "installed_version", lambda name: None if name in without else "1.0")
    report = doctor()
    assert report.healthy
    assert not [line for line in report.advice if "torch" in line or "onnxscript" in line]
    (cuda,) = (check for check in report.providers if check.device == "cuda")
    assert "swp-export-runtime-gpu is for CUDA too" in cuda.detail
    assert "pip install 'swp-export-runtime[openvino]': device openvino" in report.advice
    assert (report.distribution, report.machine) == ("swp-export-runtime", runtime.purpose)
    assert "torch" in {package.name for package in report.packages if not package.wanted}


def test_the_program_installed_twice_is_a_conflict(monkeypatch):
    """Two of its distributions hold the same files: both have to go before one is installed again."""
    monkeypatch.setattr(module, "installed_distributions", lambda: DISTRIBUTIONS[:2])
    assert "pip uninstall -y swp-export swp-export-cpu" in doctor().conflicts[0]


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
