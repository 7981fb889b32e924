"""What is in a file: a checkpoint in any layout, or any ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.graph.files import is_onnx

if TYPE_CHECKING:
    from swp_export.inspection.report import InspectReport


def inspect(file: str | Path, *, threshold: float | None = None) -> InspectReport:
    """Return what is in `file`. Only a checkpoint needs torch; a file is an ONNX model by its suffix.

    Args:
        file: a checkpoint in any layout, of a known architecture or not, or an ONNX model.
        threshold: that decides which stripes of an unbroken checkpoint are live. Default: the recorded one; without
            either nothing is decided, and the report shows what a few round thresholds would keep.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ModelError: the ONNX model cannot be read.
        ThresholdError: the threshold is no number, contradicts the file, or leaves nothing live.

    """
    path = Path(file)
    if is_onnx(path):
        from swp_export.inspection.onnx_file import inspect_onnx

        return inspect_onnx(path, threshold)
    from swp_export.inspection.checkpoint_file import inspect_checkpoint

    return inspect_checkpoint(path, threshold)
