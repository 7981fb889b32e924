"""ONNX Runtime's errors in one line of plain English.

Its messages carry error codes, the C++ location and signature they come from, and line breaks. What is left without
those says what is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as bindings

ONNXRUNTIME_ERRORS: tuple[type[Exception], ...] = (
    # They share no base class below Exception.
    bindings.EPFail,
    bindings.EngineError,
    bindings.Fail,
    bindings.InvalidArgument,
    bindings.InvalidGraph,
    bindings.InvalidProtobuf,
    bindings.ModelRequiresCompilation,
    bindings.NoModel,
    bindings.NoSuchFile,
    bindings.NotImplemented,
    bindings.RuntimeException,
    # ONNX Runtime's Python layer: an input's name is missing; a C++ exception that is not one of the above.
    ValueError,
    RuntimeError,
    MemoryError,
)

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_LOADING = re.compile(r"^Load model from .*? failed:\s*")
_LOCATION = re.compile(r"\S+\.(?:cc|h|cu|cuh):\d+ .*?\)(?: const)?(?: \[with [^\]]*\])? ")
_OPSET = re.compile(r"Opset (\d+) is under development.*?till opset (\d+)")
_NO_KERNEL = re.compile(r"Could not find an implementation for (\w+)\(\d+\) node with name '(.*?)'")
_DEVICE_FAILURES = re.compile(
    r"\b(?:CUDA|CUDNN|CUDNN_FE|CUBLAS|CURAND) failure\b|\bCUDA error\b|out of memory", re.IGNORECASE
)
_UNCAPTURABLE = re.compile(r"cannot use the .*(?:graph capture|CUDA Graph) feature", re.IGNORECASE)
_OUT_OF_MEMORY = re.compile(r"\bbad_alloc\b|\bbad allocation\b|Failed to allocate memory")
_LONGEST = 240
"""Characters of a message: its point comes first, then advice for whoever wrote the program, and shapes of it all."""
_IR_VERSION_TAG = 0x08
"""First byte of every ONNX file in practice: protobuf's tag of field 1, `ir_version`."""


def plain_message(error: Exception) -> str:
    """Return what `error` says without codes, C++ locations and line breaks, cut after its point."""
    text = _whole_message(error)
    if len(text) <= _LONGEST:
        return text
    sentence = text[:_LONGEST].rpartition(". ")[0]
    return sentence or f"{text[: _LONGEST - 1]}…"


def is_device_failure(error: Exception) -> bool:
    """Return whether `error` came out of the device rather than out of the model or its input."""
    return isinstance(error, bindings.EPFail) or _DEVICE_FAILURES.search(str(error)) is not None


def is_out_of_memory(error: Exception) -> bool:
    """Return whether `error` says that the processor's memory, or what was allowed of it, was not enough."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def is_uncapturable(error: Exception) -> bool:
    """Return whether `error` says that not all of a model goes into a CUDA graph."""
    return _UNCAPTURABLE.search(str(error)) is not None


def why_not_a_model(error: Exception, source: str | bytes) -> str:
    """Return a predicate ("is empty", ...) that says why `source`, a path or a model's bytes, does not load."""
    start, size = _start_and_size(source)
    if size == 0:
        return "is empty, expected an ONNX model"
    if isinstance(error, bindings.InvalidProtobuf):
        if start == bytes([_IR_VERSION_TAG]):
            return f"is truncated or damaged after {size} bytes; copy or export it again"
        return "is not an ONNX model"
    reason = _whole_message(error)
    if opset := _OPSET.search(reason):
        return (
            f"uses opset {opset[1]}, onnxruntime {onnxruntime.__version__} supports up to {opset[2]}; "
            "export it at opset 18 to 21, or update onnxruntime"
        )
    if lacking := _NO_KERNEL.search(reason):
        return (
            f"holds a {lacking[1]} node {lacking[2]!r} of a type, or of an opset, that onnxruntime "
            f"{onnxruntime.__version__} does not compute; of float64 it computes few operators: convert it to float32"
        )
    if "No graph was found" in reason:
        return "is not an ONNX model"
    return f"is refused by onnxruntime {onnxruntime.__version__}: {plain_message(error)}"


def _whole_message(error: Exception) -> str:
    text = " ".join(str(error).split())
    for noise in (_CODE, _LOADING, _LOCATION):
        text = noise.sub("", text)
    return text.rstrip(" .")


def _start_and_size(source: str | bytes) -> tuple[bytes, int]:
    if isinstance(source, bytes):
        return source[:1], len(source)
    path = Path(source)
    with path.open("rb") as file:
        return file.read(1), path.stat().st_size
