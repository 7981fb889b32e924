"""How ONNX Runtime loads a model: its options, and its errors in our words. The same for all of its providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from swp_export.errors import DeviceError, ModelError
from swp_export.graph.files.content import beside_of, size_of
from swp_export.runtime.error_messages import (
    ONNXRUNTIME_ERRORS,
    is_device_failure,
    is_out_of_memory,
    is_uncapturable,
    plain_message,
    why_not_a_model,
)
from swp_export.runtime.limits import Limits
from swp_export.runtime.runtime import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swp_export.runtime.model_source import ModelSource
    from swp_export.runtime.runtime import Loading
    from swp_export.runtime.target import Target

    Providers = Sequence[tuple[str, dict[str, str]]]

SILENT = 4
"""Log severity that keeps ONNX Runtime silent: what it would log as an error it also raises, and we report that."""


def session_arguments(source: ModelSource, target: Target, loading: Loading, providers: Providers) -> dict[str, Any]:
    """Load `source` on `providers`, the one to use first, and return what an `OnnxRuntimeSession` is made of.

    Raises:
        ModelError: It is no ONNX model, or ONNX Runtime cannot run it.
        DeviceError: The device cannot run it.

    """
    content = source.in_memory
    limits = Limits(
        bytes=size_of(content) if content is not None and target.kind == "cpu" else None,
        threads=target.threads,
        loops=content is not None and any(name in content for name in (b"Loop", b"Scan")),
    )
    options = _session_options(target.threads, loading)
    if target.kind == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if content is not None:
        beside = beside_of(content)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in beside.values()]
        options.add_external_initializers(list(beside), values)
    try:
        with limits.memory():
            inner = onnxruntime.InferenceSession(source.content, options, providers=providers, enable_fallback=0)
    except ONNXRUNTIME_ERRORS as error:
        raise _in_our_words(error, source, target) from error
    inner.disable_fallback()
    return {
        "label": source.label,
        "target": target,
        "inputs": tuple(map(_tensor_spec, inner.get_inputs())),
        "outputs": tuple(map(_tensor_spec, inner.get_outputs())),
        "metadata": dict(inner.get_modelmeta().custom_metadata_map),
        "asked_provider": providers[0][0],
        "inner": inner,
        "limits": limits,
    }


def _in_our_words(error: Exception, source: ModelSource, target: Target) -> ModelError | DeviceError:
    label = source.label
    if is_out_of_memory(error):
        return ModelError(f"{label} needs far more memory than its file is large; export it again")
    if is_uncapturable(error):
        return DeviceError(f"{label} does not fit into a CUDA graph: {plain_message(error)}; leave out --cuda-graph")
    if is_device_failure(error):
        return DeviceError(f"{label}: device {target.device} cannot run this model: {plain_message(error)}")
    return ModelError(f"{label} {why_not_a_model(error, source.content)}")


def _session_options(threads: int, loading: Loading) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if loading.optimise else levels.ORT_DISABLE_ALL
    options.log_severity_level = SILENT
    # Threads spin while their own session runs and stop with it, so they never steal time from another session's run.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if loading.profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(loading.profile_prefix)
    if loading.optimized_model is not None:
        options.optimized_model_filepath = str(loading.optimized_model)
    return options


def _tensor_spec(argument: Any) -> TensorSpec:
    # "tensor(float)", "tensor(int64)": numpy spells all but three of them alike.
    name = argument.type.removeprefix("tensor(").removesuffix(")")
    spelled = {"float": "float32", "double": "float64", "string": "object"}.get(name, name)
    try:
        dtype = np.dtype(spelled)
    except TypeError as error:
        raise ModelError(f"{argument.name} is {argument.type}, expected a tensor that numpy can hold") from error
    return TensorSpec(name=argument.name, shape=tuple(argument.shape), dtype=dtype)
