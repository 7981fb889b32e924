"""What is in a file: a checkpoint in any layout, any ONNX model, or the log of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.errors import ThresholdError
from swp_export.graph.files.reading import is_onnx
from swp_export.training.log import read_log

if TYPE_CHECKING:
    from swp_export.inspection.report import InspectReport
    from swp_export.training.log import TrainingLog


def inspect(file: str | Path, *, threshold: float | None = None) -> InspectReport | TrainingLog:
    """Return what is in `file`. Only a checkpoint needs torch; models and logs are known by their suffix.

    Args:
        file: a checkpoint in any layout, of a known architecture or not, an ONNX model, or a `log.jsonl` of `train`.
        threshold: that decides which stripes of an unbroken checkpoint are live. Default: the recorded one; without
            either nothing is decided, and the report shows what a few round thresholds would keep. Of an ONNX model a
            share of the largest stripe norm of each layer; default: stripes that are not zero are live.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ModelError: the ONNX model cannot be read.
        InputError: the log cannot be read.
        ThresholdError: the threshold is no number, contradicts the file, or leaves nothing live.

    """
    path = Path(file)
    if path.suffix == ".jsonl":
        if threshold is not None:
            raise ThresholdError(f"{path} is the log of a training, to which no threshold applies; leave it out")
        return read_log(path)
    if is_onnx(path):
        from swp_export.inspection.onnx_file import inspect_onnx

        return inspect_onnx(path, threshold)
    from swp_export.inspection.checkpoint_file import inspect_checkpoint

    return inspect_checkpoint(path, threshold)
