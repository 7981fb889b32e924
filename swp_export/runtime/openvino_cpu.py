"""OpenVINO on the CPU, an optional extra: `pip install 'swp-export[openvino]'`.

A model is compiled for the shapes that it is run on, as one that is measured should be: of sizes that are open OpenVINO
makes slower code.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from swp_export.errors import DeviceError, InputError, ModelError
from swp_export.runtime.runtime import Loading, Session, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swp_export.runtime.model_source import ModelSource
    from swp_export.runtime.runtime import Array, Feed
    from swp_export.runtime.target import Precision, Target

PRECISION_HINTS: dict[Precision, str] = {"float32": "f32", "float16": "f16", "int8": "f32"}
"""What floats are computed in. Without a hint a processor that has it computes in bfloat16."""

_WHERE = re.compile(r"Exception from \S+|Check '.*?' failed at \S+|\bat \S+\.(?:cpp|hpp):\d+|\S+\.(?:cpp|hpp):\d+:?")
_LONGEST = 300


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OpenVinoSession(Session):
    """A model that OpenVINO has read, compiled for the shapes of each run."""

    network: Any
    _compiled: dict[tuple[object, ...], Any] = dataclasses.field(default_factory=dict)

    @property
    def provider(self) -> str:
        """What OpenVINO calls the device, before the first run and after it."""
        used = [device for model in self._compiled.values() for device in model.get_property("EXECUTION_DEVICES")]
        if set(used) > {"CPU"}:
            raise DeviceError(f"{self.label}: asked for OpenVINO on the CPU, it runs on {', '.join(used)}")
        return "OpenVINO CPU"

    def run(self, feeds: Feed) -> dict[str, Array]:
        """Compile the model for the shapes of `feeds`, unless it is, and run it."""
        named = self.named(feeds)
        request = self._request(named)
        self._guarded(named, lambda: request.infer(share_outputs=True))
        return {spec.name: np.array(request.get_output_tensor(at).data) for at, spec in enumerate(self.outputs)}

    def caller(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call of an inference request whose inputs are set."""
        request = self._request(feeds)

        def call() -> None:
            request.infer(share_outputs=True)

        self._guarded(feeds, call)
        return call

    def _request(self, feeds: Mapping[str, Array]) -> Any:
        import openvino

        for spec in self.inputs:
            self._require_fitting(spec, feeds.get(spec.name))
        # In a thread of its own: of models compiled in one thread all but the last took up to twice as long (2026.4).
        with ThreadPoolExecutor(1) as apart:
            request = self._guarded(
                feeds, lambda: apart.submit(lambda: self._compiled_for(feeds).create_infer_request()).result()
            )
        for at, spec in enumerate(self.inputs):
            value = np.ascontiguousarray(feeds[spec.name])
            request.set_input_tensor(at, openvino.Tensor(value, shared_memory=bool(value.ndim)))
        return request

    def _require_fitting(self, spec: TensorSpec, value: Array | None) -> None:
        """Check an input: OpenVINO would make whatever network its shape asks for."""
        fits = value is not None and value.dtype == spec.dtype and value.ndim == len(spec.shape)
        if (
            value is None
            or not fits
            or any(isinstance(size, int) and size != given for size, given in zip(spec.shape, value.shape, strict=True))
        ):
            wanted = f"[{', '.join('?' if size is None else str(size) for size in spec.shape)}]"
            found = "missing" if value is None else f"{value.dtype} {list(value.shape)}"
            raise InputError(f"{self.label} takes the input {spec.name} {spec.dtype} {wanted}, it is {found}")

    def _compiled_for(self, feeds: Mapping[str, Array]) -> Any:
        import openvino

        shapes = tuple(feeds[spec.name].shape for spec in self.inputs)
        if shapes not in self._compiled:
            network = self.network.clone()
            network.reshape({at: openvino.PartialShape(list(shape)) for at, shape in enumerate(shapes)})
            self._compiled.clear()  # a model compiled holds its weights once more
            self._compiled[shapes] = openvino.Core().compile_model(network, "CPU", properties(self.target))
        return self._compiled[shapes]

    def _guarded(self, feeds: Mapping[str, Array], call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RuntimeError as error:
            given = ", ".join(f"{name} {value.dtype} {list(value.shape)}" for name, value in feeds.items()) or "nothing"
            raise InputError(f"{self.label} refuses the input {given}: {plain_message(error)}") from error


class OpenVinoCpu:
    """Runs models on the processor, its own way."""

    packages = ("openvino",)

    def why_absent(self) -> str | None:
        """Say how to install it."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed; pip install 'swp-export[openvino]'"
        return None

    def hardware(self, target: Target) -> None:
        """Return nothing: it is the processor."""

    def open(self, source: ModelSource, target: Target, loading: Loading) -> OpenVinoSession:
        """Read a model.

        Raises:
            DeviceError: Something is asked for that only ONNX Runtime has.

        """
        import openvino

        if loading != Loading():
            raise DeviceError(
                f"device {target.device} shows neither profiles nor graphs, and always optimises; pass --device cpu"
            )
        content = source.content
        try:
            if isinstance(content, bytes):
                proto = onnx.ModelProto.FromString(content)
                network = openvino.Core().read_model(content, b"")
            else:
                proto = onnx.load(content, load_external_data=False)
                network = openvino.Core().read_model(content)
        except (RuntimeError, OSError, DecodeError) as error:
            raise ModelError(f"{source.label} is refused by OpenVINO: {plain_message(error)}") from error
        stored = {tensor.name for tensor in proto.graph.initializer}
        return OpenVinoSession(
            label=source.label,
            target=target,
            inputs=tuple(_tensor_spec(value) for value in proto.graph.input if value.name not in stored),
            outputs=tuple(map(_tensor_spec, proto.graph.output)),
            metadata={entry.key: entry.value for entry in proto.metadata_props},
            network=network,
        )


def properties(target: Target) -> dict[str, str | int | bool]:
    """Return how OpenVINO is to run: one request at a time, on `target.threads` threads that go where they like."""
    return {
        "INFERENCE_NUM_THREADS": target.threads,
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[target.precision],
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }


def plain_message(error: Exception) -> str:
    """Return what `error` says without C++ locations and line breaks, cut to its point."""
    text = " ".join(_WHERE.sub("", str(error)).split()).strip(" .:")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, shape=shape, dtype=onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
