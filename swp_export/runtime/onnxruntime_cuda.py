"""ONNX Runtime on CUDA."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from swp_export.errors import DeviceError
from swp_export.runtime.cuda import DISTRIBUTIONS, PROVIDER, read_cuda, why_no_cuda
from swp_export.runtime.onnxruntime_loading import SILENT, session_arguments
from swp_export.runtime.onnxruntime_session import OnnxRuntimeSession
from swp_export.runtime.placement import CPU_PROVIDER, PlacementCheck, assigned_operators
from swp_export.runtime.runtime import Loading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swp_export.runtime.model_source import ModelSource
    from swp_export.runtime.runtime import Array, Feed
    from swp_export.runtime.target import Target


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CudaSession(OnnxRuntimeSession):
    """A session on CUDA.

    Attributes:
        assigned: How many nodes of each operator each execution provider got: shape arithmetic may be on the CPU.
        check: Of the placement, before the first run.

    """

    assigned: Mapping[str, Mapping[str, int]]
    check: PlacementCheck

    def run(self, feeds: Feed) -> dict[str, Array]:
        """Run the model, once nothing that computes on images is on the CPU."""
        self.check(self.named(feeds))
        return super().run(feeds)

    def caller(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call with everything bound, so that it transfers nothing."""
        self.check(feeds)
        return self.bind(feeds)


class OnnxRuntimeCuda:
    """Runs models on an NVIDIA device, or fails."""

    packages = DISTRIBUTIONS

    def why_absent(self) -> str | None:
        """Return the first thing that stops CUDA here."""
        return why_no_cuda(read_cuda())

    def hardware(self, target: Target) -> str:
        """Return the name of the NVIDIA device."""
        driver = read_cuda().driver
        devices = driver.devices if driver is not None else ()
        if target.ordinal >= len(devices):
            found = ", ".join(f"cuda:{ordinal} ({name})" for ordinal, name in enumerate(devices)) or "none"
            raise DeviceError(f"there is no device {target.device}; the driver shows {found}")
        return devices[target.ordinal]

    def open(self, source: ModelSource, target: Target, loading: Loading) -> CudaSession:
        """Load a model; what CUDA has no kernel for is seen at once, or before the first run."""
        onnxruntime.set_default_logger_severity(SILENT)
        self.hardware(target)
        providers: list[tuple[str, dict[str, str]]] = [(PROVIDER, provider_options(target)), (CPU_PROVIDER, {})]
        arguments = session_arguments(source, target, loading, providers)
        assigned = assigned_operators(arguments["inner"].get_provider_graph_assignment_info())

        def profile(feeds: Mapping[str, Array]) -> list[Mapping[str, Any]]:
            uncaptured = dataclasses.replace(target, cuda_graph=False)
            with tempfile.TemporaryDirectory() as folder:
                profiling = Loading(optimise=loading.optimise, profile_prefix=Path(folder) / "profile")
                session = OnnxRuntimeSession(**session_arguments(source, uncaptured, profiling, providers))
                session.run(feeds)
                events: list[Mapping[str, Any]] = json.loads(session.end_profiling().read_text(encoding="utf-8"))
            return events

        check = PlacementCheck(source.label, target.device, assigned, profile)
        session = CudaSession(**arguments, assigned=assigned, check=check)
        _ = session.provider  # a provider that failed to start leaves everything to the CPU
        return session


def provider_options(target: Target) -> dict[str, str]:
    """Return the options of the CUDA provider as ONNX Runtime spells them."""
    return {
        "device_id": str(target.ordinal),
        "use_tf32": str(int(target.tf32)),
        # How cuDNN's algorithm is chosen, once per input shape.
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "enable_cuda_graph": str(int(target.cuda_graph)),
    }
