"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.runtime.cuda import DISTRIBUTIONS
from swp_export.runtime.onnxruntime_loading import session_arguments
from swp_export.runtime.onnxruntime_session import OnnxRuntimeSession

if TYPE_CHECKING:
    from swp_export.runtime.model_source import ModelSource
    from swp_export.runtime.runtime import Loading
    from swp_export.runtime.target import Target

PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeCpu:
    """Runs models in float32 on the processor."""

    packages = DISTRIBUTIONS

    def why_absent(self) -> None:
        """Say nothing: every build of ONNX Runtime has the CPU provider."""

    def hardware(self, target: Target) -> None:
        """Return nothing: it is the processor."""

    def open(self, source: ModelSource, target: Target, loading: Loading) -> OnnxRuntimeSession:
        """Load a model."""
        return OnnxRuntimeSession(**session_arguments(source, target, loading, [(PROVIDER, {})]))
