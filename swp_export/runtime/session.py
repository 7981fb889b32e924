"""Sessions that run on the device they were asked for, or fail with one line of ours: the one place that opens them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.errors import DeviceError
from swp_export.runtime.model_source import source_of
from swp_export.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from swp_export.runtime.onnxruntime_cuda import OnnxRuntimeCuda
from swp_export.runtime.openvino_cpu import OpenVinoCpu
from swp_export.runtime.runtime import Array, Feed, Loading, Runtime, Session, TensorSpec
from swp_export.runtime.target import CPU, Kind, Target

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

__all__ = ["RUNTIMES", "Array", "Feed", "Session", "TensorSpec", "open_session", "require_runtime", "runtime_of"]

RUNTIMES: dict[Kind, Runtime] = {"cpu": OnnxRuntimeCpu(), "cuda": OnnxRuntimeCuda(), "openvino": OpenVinoCpu()}
"""Each kind of device, and what runs models on it."""


def open_session(
    model: Path | str | bytes | onnx.ModelProto,
    target: Target = CPU,
    *,
    optimise: bool = True,
    profile_prefix: Path | None = None,
    optimized_model: Path | None = None,
) -> Session:
    """Load `model` for `target`, with every optimisation that the runtime has, or none.

    Runtimes log nothing: what goes wrong is raised. For that, CUDA also silences ONNX Runtime's default logger, which
    belongs to the whole process.

    Args:
        model: A file (external data beside it is found), or a model in memory.
        target: Where it runs, with no fallback to another device, and on how many threads.
        optimise: Let ONNX Runtime rewrite the graph; without, each node is run as it stands.
        profile_prefix: ONNX Runtime only: write a profile to a file whose name begins so.
        optimized_model: ONNX Runtime only: write the graph that is really run to this file.

    Raises:
        ModelError: The file is missing, empty, truncated or no ONNX model, or the runtime cannot run it.
        DeviceError: The device is not available, or cannot run every operator of the model.

    """
    source = source_of(model)
    runtime = require_runtime(target)
    loading = Loading(optimise=optimise, profile_prefix=profile_prefix, optimized_model=optimized_model)
    return runtime.open(source, target, loading)


def runtime_of(target: Target) -> Runtime:
    """Return what runs models on `target`."""
    return RUNTIMES[target.kind]


def require_runtime(target: Target) -> Runtime:
    """Return what runs models on `target`.

    Raises:
        DeviceError: It is not available; the message says why and what to do.

    """
    runtime = runtime_of(target)
    reason = runtime.why_absent()
    if reason is not None:
        raise DeviceError(f"device {target.device} is not available: {reason}")
    return runtime
