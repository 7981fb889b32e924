"""Why CUDA is not available, found before ONNX Runtime tries.

ONNX Runtime's provider loader writes its own errors to file descriptor 2 and then runs on the CPU; and
`get_available_providers()` says what a wheel was built with, not what works. So the facts are gathered here, in the
order in which they stop a user, and turned into one sentence: what is missing, and what to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Loader = Callable[[str], Any]

PROVIDER = "CUDAExecutionProvider"
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
"""Distributions that own the module `onnxruntime`: at most one of them may be installed."""

_CUDA_SUCCESS = 0
_INSTALL_LIBRARIES = 'pip install "onnxruntime-gpu[cuda,cudnn]"'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Driver:
    """What the NVIDIA driver says.

    Attributes:
        status: What `cuInit` returned: 0, or a CUresult such as 100 (no device).
        cuda: Newest CUDA release that the driver supports, `(major, minor)`; None if it does not say.
        devices: The visible devices' names.

    """

    status: int
    cuda: tuple[int, int] | None
    devices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CudaFacts:
    """Everything that must hold for ONNX Runtime's CUDA provider to work.

    Attributes:
        version: Of ONNX Runtime.
        distributions: Installed distributions that own the module `onnxruntime`.
        built_in: Whether that module was built with the CUDA provider.
        provider_library: Whether the provider's shared library is in the package.
        cuda: CUDA release that the wheel was built for, `(major, minor)`; None if it does not say.
        driver: None where there is no NVIDIA driver.
        missing: CUDA and cuDNN libraries that do not load; not looked for without a driver.

    """

    version: str
    distributions: tuple[str, ...]
    built_in: bool
    provider_library: bool
    cuda: tuple[int, int] | None
    driver: Driver | None
    missing: tuple[str, ...]


def why_no_cuda(facts: CudaFacts) -> str | None:
    """Return what is missing and what to do about it, or None if CUDA should work.

    The driver and the device come before the libraries: nobody should download those for a machine without a GPU.
    """
    runtime = f"onnxruntime {facts.version}"
    conflict = why_conflict(facts.distributions)
    if conflict is not None:
        return conflict
    if not facts.built_in:
        return f"{runtime} has no CUDA provider; pip uninstall -y onnxruntime, then pip install onnxruntime-gpu"
    if not facts.provider_library:
        return f"{runtime} lost its CUDA provider library; pip install --force-reinstall onnxruntime-gpu"
    return _why_no_device(facts.driver, facts.cuda, runtime) or _why_no_libraries(facts.missing, facts.cuda)


def _why_no_device(driver: Driver | None, built_for: tuple[int, int] | None, runtime: str) -> str | None:
    if driver is None:
        return f"no NVIDIA driver ({_driver_library()} does not load); install the driver, or use --device cpu"
    # Within a major release an older driver runs newer libraries ("minor version compatibility"), across it does not.
    if built_for is not None and driver.cuda is not None and driver.cuda[0] < built_for[0]:
        return (
            f"the NVIDIA driver supports CUDA {_dotted(driver.cuda)} and {runtime} needs CUDA {built_for[0]}; "
            f"update the driver, or install an onnxruntime-gpu built for CUDA {driver.cuda[0]}"
        )
    if driver.status != _CUDA_SUCCESS or not driver.devices:
        return (
            f"the NVIDIA driver finds no usable device (cuInit returned {driver.status}); "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"
        )
    return None


def _why_no_libraries(missing: tuple[str, ...], built_for: tuple[int, int] | None) -> str | None:
    if not missing:
        return None
    release = f"CUDA {built_for[0]} and cuDNN 9" if built_for else "CUDA and cuDNN"
    return f"{', '.join(missing)} not found ({release} needed); {_INSTALL_LIBRARIES}"


def read_cuda(load: Loader = ctypes.CDLL) -> CudaFacts:
    """Gather the facts on this machine. `load` opens a shared library by name, or raises OSError."""
    import onnxruntime

    cuda = parse_version(getattr(onnxruntime, "cuda_version", "") or "")
    capi = Path(onnxruntime.__file__).parent / "capi"
    driver = read_driver(load)
    if driver is not None:
        # Finds the libraries of the nvidia-* wheels; what it fails to find it prints, on standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    return CudaFacts(
        version=onnxruntime.__version__,
        distributions=onnxruntime_distributions(),
        built_in=PROVIDER in onnxruntime.get_available_providers(),
        provider_library=any(capi.glob("*onnxruntime_providers_cuda.*")),
        cuda=cuda,
        driver=driver,
        missing=tuple(name for name in required_libraries(cuda) if driver and not _loads(name, load)),
    )


def onnxruntime_distributions() -> tuple[str, ...]:
    """Return the installed distributions that own the module `onnxruntime`."""
    found = []
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.distribution(name)
            found.append(name)
    return tuple(found)


def why_conflict(distributions: tuple[str, ...]) -> str | None:
    """Return what is wrong, and what to do, where several `distributions` of ONNX Runtime are installed, else None."""
    if len(distributions) < 2:
        return None
    keep = "onnxruntime-gpu" if "onnxruntime-gpu" in distributions else distributions[0]
    return (
        f"{' and '.join(distributions)} own the same module and overwrite each other; "
        f"pip uninstall -y {' '.join(distributions)}, then pip install {keep}"
    )


def parse_version(text: str) -> tuple[int, int] | None:
    """Return `(major, minor)` of a release such as "13.0", or None if `text` is none."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0] or "0"
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def required_libraries(cuda: tuple[int, int] | None, platform: str = sys.platform) -> tuple[str, ...]:
    """Return the libraries that a convolution on the CUDA provider needs, built for release `cuda`.

    cuDNN is loaded late, by the first convolution, so it is no dependency of the provider's library; cuFFT and NVRTC
    serve operators and kernels that our models have not.
    """
    if cuda is None:
        return ()
    major = cuda[0]
    if platform == "win32":
        return (f"cudart64_{major}.dll", f"cublasLt64_{major}.dll", f"cublas64_{major}.dll", "cudnn64_9.dll")
    return (f"libcudart.so.{major}", f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcudnn.so.9")


def read_driver(load: Loader = ctypes.CDLL) -> Driver | None:
    """Return what the NVIDIA driver says, or None if there is none."""
    try:
        library = load(_driver_library())
    except OSError:
        return None
    number = ctypes.c_int()
    version = number.value if library.cuDriverGetVersion(ctypes.byref(number)) == _CUDA_SUCCESS else 0
    status = int(library.cuInit(0))
    count = ctypes.c_int()
    if status == _CUDA_SUCCESS:
        library.cuDeviceGetCount(ctypes.byref(count))
    return Driver(
        status=status,
        cuda=(version // 1000, version % 1000 // 10) if version else None,
        devices=tuple(_device_name(library, ordinal) for ordinal in range(count.value)),
    )


def _device_name(library: Any, ordinal: int) -> str:
    handle = ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), ordinal)
    library.cuDeviceGetName(name, len(name), handle)
    return name.value.decode(errors="replace") or f"device {ordinal}"


def _driver_library(platform: str = sys.platform) -> str:
    return "nvcuda.dll" if platform == "win32" else "libcuda.so.1"


def _loads(name: str, load: Loader) -> bool:
    try:
        load(name)
    except OSError:
        return False
    return True


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
