"""Sessions of ONNX Runtime that run on the device they were asked for, or fail with one line of ours."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import onnxruntime

from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.graph.files.content import beside_of, size_of
from swp_export.memory import allowance, memory_within
from swp_export.runtime.binding import BoundRun
from swp_export.runtime.cuda import PROVIDER as CUDA_PROVIDER
from swp_export.runtime.cuda import require_cuda
from swp_export.runtime.error_messages import (
    ONNXRUNTIME_ERRORS,
    is_device_failure,
    is_out_of_memory,
    plain_message,
    why_not_a_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    import onnx

    Array = npt.NDArray[Any]
    Feed = Array | Mapping[str, Array]
    """The only input of a model, or all of them by name."""

T = TypeVar("T")
Device = Literal["cpu", "cuda"]
PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": CUDA_PROVIDER}

LONGEST_LOOP = 3.0
"""Seconds of one run of a model with loops; those of networks take milliseconds."""
_FATAL = 4
"""Log severity that keeps ONNX Runtime silent: what it would log as an error it also raises, and we report that."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CudaOptions:
    """Options of the CUDA provider.

    Attributes:
        tf32: Let float32 convolutions and products round their inputs to 10 bits of mantissa. ONNX Runtime's own
            default is True; ours is False, because equivalence is checked in float32.
        prefer_nhwc: Let convolutions run in NHWC.
        cudnn_conv_algo_search: How cuDNN's algorithm is chosen, once per input shape.
        cuda_graph: Capture the run in a CUDA graph. Needs static shapes and bound inputs: `Session.bind`.
        device_id: Ordinal of the device.

    """

    tf32: bool = False
    prefer_nhwc: bool = False
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] = "EXHAUSTIVE"
    cuda_graph: bool = False
    device_id: int = 0

    def to_provider_options(self) -> dict[str, str]:
        """Return them as ONNX Runtime spells them."""
        return {
            "device_id": str(self.device_id),
            "use_tf32": str(int(self.tf32)),
            "prefer_nhwc": str(int(self.prefer_nhwc)),
            "cudnn_conv_algo_search": self.cudnn_conv_algo_search,
            "enable_cuda_graph": str(int(self.cuda_graph)),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of a model: `shape` has an int, a symbol's name or None per dimension."""

    name: str
    shape: tuple[int | str | None, ...]
    dtype: np.dtype[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Limits:
    """What a model may take before it is stopped: nothing that is told of a model bounds what its operators ask for.

    Attributes:
        bytes: Size of the model; None where it has none to go by: a file, whose data may lie beside it, or on CUDA.
        threads: Of the session.
        loops: Whether it may hold graphs that are run again and again.

    """

    bytes: int | None
    threads: int
    loops: bool

    def memory(self, inputs: int = 0) -> contextlib.AbstractContextManager[None]:
        """Bound the memory of a block that is given `inputs` bytes."""
        if self.bytes is None:
            return contextlib.nullcontext()
        return memory_within(allowance(model=self.bytes, inputs=inputs, threads=self.threads))

    @contextlib.contextmanager
    def time(self, options: onnxruntime.RunOptions) -> Iterator[None]:
        """Stop the run that has these `options` once it takes too long, where only loops can make it."""
        if not self.loops:
            yield
            return
        stop = threading.Timer(LONGEST_LOOP, lambda: setattr(options, "terminate", True))
        stop.start()
        try:
            yield
        except InputError as error:
            if not options.terminate:
                raise
            raise InputError(
                f"the model was stopped after {LONGEST_LOOP:g} s: it has a loop that does not end; export it without"
            ) from error
        finally:
            stop.cancel()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Session:
    """A loaded model. Made by `open_session`.

    Attributes:
        label: The model's name in messages.
        device: The device that was asked for, and that is used.
        inputs: What the model takes, in its order.
        outputs: What the model gives, in its order.
        metadata: The model's own `metadata_props`.

    """

    label: str
    device: Device
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    _inner: onnxruntime.InferenceSession
    _cuda: CudaOptions
    _limits: _Limits

    @property
    def provider(self) -> str:
        """The execution provider that is really used.

        Raises:
            DeviceError: It is not the one that was asked for.

        """
        used: str = self._inner.get_providers()[0]
        if used != PROVIDERS[self.device]:
            raise DeviceError(f"{self.label}: asked for {PROVIDERS[self.device]}, ONNX Runtime fell back to {used}")
        return used

    def run(self, feeds: Feed) -> dict[str, Array]:
        """Run the model on `feeds`, its only input or all by name, and return its outputs by name.

        Raises:
            InputError: The model refuses the inputs' names, dtypes or shapes, or needs time or memory without bounds.
            DeviceError: The device failed, or another one was used.

        """
        if not isinstance(feeds, Mapping):
            feeds = {self.inputs[0].name: feeds}
        given, options = dict(feeds), onnxruntime.RunOptions()
        with self._limits.time(options):
            values = self._guarded(given, lambda: self._inner.run(None, given, options))
        _ = self.provider
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def run_on(self, feeds: Feed) -> dict[str, Array]:
        """Run the model on `feeds` as `run` does, each of them cast to the dtype of its input."""
        named = feeds if isinstance(feeds, Mapping) else {self.inputs[0].name: feeds}
        dtypes = {spec.name: spec.dtype for spec in self.inputs}
        return self.run({name: x.astype(dtypes.get(name, x.dtype), copy=False) for name, x in named.items()})

    def caller(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that runs the model on `feeds` and nothing else: no checks, for a stopwatch.

        The model has then run once. Raises what `run` raises.
        """
        self.run(feeds)
        return functools.partial(self._inner.run, None, dict(feeds))

    def bind(self, feeds: Mapping[str, Array]) -> BoundRun:
        """Put `feeds` and the outputs into the device's memory, once; calling the result runs the model and waits.

        The model has then run at least once. Raises what `run` raises.
        """
        bound = self._guarded(
            feeds,
            lambda: BoundRun(
                self._inner,
                feeds,
                outputs={spec.name: spec.dtype for spec in self.outputs},
                device=self.device,
                device_id=self._cuda.device_id,
            ),
        )
        _ = self.provider
        return bound

    def end_profiling(self) -> Path:
        """Stop profiling and return the JSON file that ONNX Runtime wrote."""
        return Path(self._inner.end_profiling())

    def _guarded(self, feeds: Mapping[str, Array], call: Callable[[], T]) -> T:
        try:
            with self._limits.memory(sum(value.nbytes for value in feeds.values())):
                return call()
        except ONNXRUNTIME_ERRORS as error:
            if is_out_of_memory(error):
                sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
                raise InputError(
                    f"{self.label} needs far more memory than the input {sizes} can explain; pass a smaller "
                    "--input-shape, or export the model with smaller sizes"
                ) from error
            if is_device_failure(error):
                raise DeviceError(f"{self.label}: device {self.device} failed: {plain_message(error)}") from error
            given = ", ".join(f"{name} {value.dtype} {list(value.shape)}" for name, value in feeds.items())
            given = given or "nothing"
            raise InputError(f"{self.label} refuses the input {given}: {plain_message(error)}") from error


def open_session(
    model: Path | str | bytes | onnx.ModelProto,
    *,
    device: Device = "cpu",
    threads: int = 1,
    cuda: CudaOptions | None = None,
    optimise: bool = True,
    profile_prefix: Path | None = None,
    optimized_model: Path | None = None,
) -> Session:
    """Load `model` on `device`, with every optimisation that ONNX Runtime has, or none.

    ONNX Runtime logs nothing: what goes wrong is raised. For that, `device="cuda"` also silences its default logger,
    which belongs to the whole process.

    Args:
        model: A file (external data beside it is found), or a model in memory.
        device: Where it runs, with no fallback to another device.
        threads: Threads within an operator; operators run one after the other.
        cuda: Options of the CUDA provider; None is `CudaOptions()`. Ignored on the CPU.
        optimise: Let ONNX Runtime rewrite the graph; without, each node is run as it stands.
        profile_prefix: Write a profile to a file whose name begins so; see `Session.end_profiling`.
        optimized_model: Write the graph that is really run to this file.

    Raises:
        ModelError: The file is missing, empty, truncated or no ONNX model, or ONNX Runtime cannot run it.
        DeviceError: The device is not available, or cannot run every operator of the model.
        ValueError: `threads` is not positive.

    """
    if threads < 1:
        raise ValueError(f"threads is at least 1, got {threads}")
    label, source = _label_and_source(model)
    cuda = cuda or CudaOptions()
    options = _session_options(threads, profile_prefix, optimized_model, optimise=optimise)
    providers: list[tuple[str, dict[str, str]]] = [(PROVIDERS[device], {})]
    if device == "cuda":
        onnxruntime.set_default_logger_severity(_FATAL)
        require_cuda()
        # Without it, operators that CUDA lacks, or all of them where the provider fails to start, run on the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        providers = [(PROVIDERS[device], cuda.to_provider_options())]
    limits = _Limits(
        bytes=size_of(source) if isinstance(source, bytes) and device == "cpu" else None,
        threads=threads,
        loops=isinstance(source, bytes) and any(name in source for name in (b"Loop", b"Scan")),
    )
    if isinstance(source, bytes):
        arrays = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in beside_of(source).items()}
        options.add_external_initializers(list(arrays), list(arrays.values()))
    try:
        with limits.memory():
            inner = onnxruntime.InferenceSession(source, options, providers=providers, enable_fallback=0)
    except ONNXRUNTIME_ERRORS as error:
        if is_out_of_memory(error):
            raise ModelError(f"{label} needs far more memory than its file is large; export it again") from error
        # With the fallback disabled, "assigned to the default CPU EP" is how a provider that failed to start shows.
        if is_device_failure(error) or "fallback to CPU EP" in str(error):
            raise DeviceError(f"{label}: device {device} cannot run this model: {plain_message(error)}") from error
        raise ModelError(f"{label} {why_not_a_model(error, source)}") from error
    inner.disable_fallback()
    return Session(
        label=label,
        device=device,
        inputs=tuple(map(_tensor_spec, inner.get_inputs())),
        outputs=tuple(map(_tensor_spec, inner.get_outputs())),
        metadata=dict(inner.get_modelmeta().custom_metadata_map),
        _inner=inner,
        _cuda=cuda,
        _limits=limits,
    )


def _label_and_source(model: Path | str | bytes | onnx.ModelProto) -> tuple[str, str | bytes]:
    if isinstance(model, bytes):
        return "the model", model
    if not isinstance(model, Path | str):
        return model.graph.name or "the model", model.SerializeToString()
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}, expected an ONNX model")
    return str(path), str(path)


def _session_options(
    threads: int, profile_prefix: Path | None, optimized_model: Path | None, *, optimise: bool
) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.log_severity_level = _FATAL
    # Threads spin while their own session runs and stop with it, so they never steal time from another session's run.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    if optimized_model is not None:
        options.optimized_model_filepath = str(optimized_model)
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
