"""Why CUDA is not available."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import pytest

from swp_export.runtime.cuda import (
    CudaFacts,
    Driver,
    parse_version,
    read_cuda,
    read_driver,
    required_libraries,
    why_no_cuda,
)

DRIVER = Driver(status=0, cuda=(13, 1), devices=("NVIDIA H100",))
GOOD = CudaFacts(
    version="1.31.1",
    distributions=("onnxruntime-gpu",),
    built_in=True,
    provider_library=True,
    cuda=(13, 0),
    driver=DRIVER,
    missing=(),
)


def fake_driver(*, status=0, devices=1):
    """Return a libcuda that supports release 13.1 and sees `devices` devices, unless `status` says that it fails."""

    def answer(value):
        def function(out, *_):
            out._obj.value = value
            return 0

        return function

    def name_of(buffer, _size, handle):
        buffer.value = b"Fake %d" % handle.value
        return 0

    def handle_of(out, ordinal):
        return answer(ordinal)(out)

    return SimpleNamespace(
        cuInit=lambda _flags: status,
        cuDriverGetVersion=answer(13010),
        cuDeviceGetCount=answer(devices),
        cuDeviceGet=handle_of,
        cuDeviceGetName=name_of,
    )


def load_nothing(name):
    """Find no library at all."""
    raise OSError(name)


def test_good_facts_leave_nothing_to_say():
    """Where everything is there, CUDA is not refused."""
    assert why_no_cuda(GOOD) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"distributions": ("onnxruntime", "onnxruntime-gpu")}, "pip uninstall -y onnxruntime onnxruntime-gpu"),
        ({"built_in": False}, "has no CUDA provider"),
        ({"provider_library": False}, "pip install --force-reinstall onnxruntime-gpu"),
        ({"driver": None}, "no NVIDIA driver"),
        (
            {"driver": dataclasses.replace(DRIVER, cuda=(12, 4))},
            "supports CUDA 12.4 and onnxruntime 1.31.1 needs CUDA 13",
        ),
        ({"driver": dataclasses.replace(DRIVER, status=100, devices=())}, "cuInit returned 100"),
        ({"driver": dataclasses.replace(DRIVER, devices=())}, "no usable device"),
        ({"missing": ("libcudnn.so.9",)}, 'libcudnn.so.9 not found (CUDA 13 and cuDNN 9 needed); pip install "onnx'),
    ],
)
def test_each_fact_that_is_wrong_is_named(change, expected):
    """Every obstacle has a sentence of its own, on one line."""
    reason = why_no_cuda(dataclasses.replace(GOOD, **change))
    assert reason is not None
    assert expected in reason
    assert "\n" not in reason


def test_a_machine_without_a_driver_is_not_told_to_download_libraries():
    """The driver comes before the libraries."""
    reason = why_no_cuda(dataclasses.replace(GOOD, driver=None, missing=("libcudart.so.13",)))
    assert reason is not None
    assert "driver" in reason
    assert "pip" not in reason


def test_no_driver_library_is_no_driver():
    """A libcuda that does not load is no driver."""
    assert read_driver(load_nothing) is None


def test_the_driver_says_its_release_and_its_devices():
    """Release and device names are what the driver's C functions return."""
    driver = read_driver(lambda _: fake_driver(devices=2))
    assert driver == Driver(status=0, cuda=(13, 1), devices=("Fake 0", "Fake 1"))


def test_a_driver_that_fails_to_start_has_no_devices():
    """After cuInit failed nothing else is asked."""
    assert read_driver(lambda _: fake_driver(status=100)) == Driver(status=100, cuda=(13, 1), devices=())


def test_libraries_that_do_not_load_are_missing():
    """With a driver and without libraries, the libraries are named."""

    def load(name):
        if name in {"libcuda.so.1", "nvcuda.dll"}:
            return fake_driver()
        raise OSError(name)

    facts = read_cuda(load)
    assert facts.missing == required_libraries(facts.cuda)


def test_library_names_follow_release_and_platform():
    """The names carry the major release, and Windows spells them its own way."""
    assert "libcublasLt.so.12" in required_libraries((12, 4), "linux")
    assert "cudart64_13.dll" in required_libraries((13, 0), "win32")
    assert required_libraries(None, "linux") == ()


@pytest.mark.parametrize(("text", "expected"), [("13.0", (13, 0)), ("12", (12, 0)), ("12.4.1", (12, 4)), ("", None)])
def test_versions_are_parsed_or_none(text, expected):
    """A release is its first two numbers; an empty one is None."""
    assert parse_version(text) == expected


@pytest.mark.skipif(read_driver() is not None, reason="this machine has an NVIDIA driver")
def test_cuda_without_a_driver_is_one_line_of_ours():
    """Neither Python nor C++ writes anything to standard output or error: only the exception's one line is there."""
    program = (
        "import onnx.parser\n"
        "from swp_export.errors import DeviceError\n"
        "from swp_export.runtime.session import open_session\n"
        "from swp_export.runtime.target import Target\n"
        "text = '<ir_version: 8, opset_import: [\"\": 18]> g (float[1] x) => (float[1] y) { y = Relu(x) }'\n"
        "try:\n"
        "    open_session(onnx.parser.parse_model(text), Target(device='cuda'))\n"
        "except DeviceError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("device cuda is not available: ")
