"""A model that ONNX Runtime has loaded, on the CPU or on CUDA."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import onnxruntime

from swp_export.errors import DeviceError, InputError
from swp_export.runtime.binding import BoundRun
from swp_export.runtime.error_messages import (
    ONNXRUNTIME_ERRORS,
    is_device_failure,
    is_out_of_memory,
    plain_message,
)
from swp_export.runtime.runtime import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swp_export.runtime.limits import Limits
    from swp_export.runtime.runtime import Array, Feed

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OnnxRuntimeSession(Session):
    """A session of ONNX Runtime.

    Attributes:
        asked_provider: The execution provider that was asked for.

    """

    asked_provider: str
    inner: onnxruntime.InferenceSession
    limits: Limits

    @property
    def provider(self) -> str:
        """The execution provider that is really used."""
        used: str = self.inner.get_providers()[0]
        if used != self.asked_provider:
            raise DeviceError(f"{self.label}: asked for {self.asked_provider}, ONNX Runtime fell back to {used}")
        return used

    def run(self, feeds: Feed) -> dict[str, Array]:
        """Run the model within its limits."""
        given, options = self.named(feeds), onnxruntime.RunOptions()
        with self.limits.time(options):
            values = self._guarded(given, lambda: self.inner.run(None, given, options))
        _ = self.provider
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def caller(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call of ONNX Runtime's own."""
        self.run(feeds)
        return functools.partial(self.inner.run, None, dict(feeds))

    def bind(self, feeds: Mapping[str, Array]) -> BoundRun:
        """Put `feeds` and the outputs into the device's memory, once; calling the result runs the model and waits.

        The model has then run at least once. Raises what `run` raises.
        """
        bound = self._guarded(
            feeds,
            lambda: BoundRun(
                self.inner,
                feeds,
                outputs={spec.name: spec.dtype for spec in self.outputs},
                device="cuda" if self.target.kind == "cuda" else "cpu",
                device_id=self.target.ordinal,
            ),
        )
        _ = self.provider
        return bound

    def end_profiling(self) -> Path:
        """Stop profiling and return the JSON file that ONNX Runtime wrote."""
        return Path(self.inner.end_profiling())

    def _guarded(self, feeds: Mapping[str, Array], call: Callable[[], T]) -> T:
        try:
            with self.limits.memory(sum(value.nbytes for value in feeds.values())):
                return call()
        except ONNXRUNTIME_ERRORS as error:
            if is_out_of_memory(error):
                sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())
                raise InputError(
                    f"{self.label} needs far more memory than the input {sizes} can explain; pass a smaller "
                    "--input-shape, or export the model with smaller sizes"
                ) from error
            if is_device_failure(error):
                raise DeviceError(
                    f"{self.label}: device {self.target.device} failed: {plain_message(error)}"
                ) from error
            given = ", ".join(f"{name} {value.dtype} {list(value.shape)}" for name, value in feeds.items())
            given = given or "nothing"
            raise InputError(f"{self.label} refuses the input {given}: {plain_message(error)}") from error
