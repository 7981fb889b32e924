"""Inputs and outputs that stay in the device's memory, so that a run transfers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Array = npt.NDArray[Any]


class BoundRun:
    """A session with everything bound: call it to run the model and wait for the device.

    The outputs' buffers are allocated once, after a first run has shown their shapes: a captured CUDA graph reads and
    writes fixed addresses.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        feeds: Mapping[str, Array],
        *,
        outputs: Mapping[str, np.dtype[Any]],
        device: Literal["cpu", "cuda"],
        device_id: int = 0,
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._inputs = {
            # On the CPU an OrtValue is a view of the array it is made from, which is the caller's.
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.array(value), device, device_id)
            for name, value in feeds.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name in outputs:
            self._binding.bind_output(name, device, device_id)
        uncaptured = onnxruntime.RunOptions()
        uncaptured.add_run_config_entry("gpu_graph_id", "-1")
        session.run_with_iobinding(self._binding, uncaptured)
        shapes = [value.shape() for value in self._binding.get_outputs()]
        self._outputs = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, device, device_id)
            for (name, dtype), shape in zip(outputs.items(), shapes, strict=True)
        }
        self._binding.clear_binding_outputs()
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self()

    def __call__(self) -> None:
        """Run the model on the bound inputs; return when the outputs are there."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def upload(self, feeds: Mapping[str, Array]) -> None:
        """Copy `feeds`, of the same shapes and dtypes as before, into the bound inputs."""
        for name, value in feeds.items():
            self._inputs[name].update_inplace(value)

    def download(self) -> dict[str, Array]:
        """Return a copy of the outputs of the last run in host memory, by name."""
        return {name: np.array(value.numpy()) for name, value in self._outputs.items()}
