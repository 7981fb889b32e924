"""The self-describing format: a file of `torch.save` that holds, beside the state dict, what is needed to use it."""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from swp_export.atomic import atomic_write
from swp_export.checkpoint.content import bytes_of, naming, parse
from swp_export.checkpoint.layouts import layout_of
from swp_export.checkpoint.state_dict import plain_tensors, shown
from swp_export.distributions import program_version
from swp_export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "swp-export-checkpoint"
VERSION = 1
_LARGEST = 1 << 20
"""Of the numbers of an input shape."""


def write_checkpoint(
    path: str | Path,
    state: Mapping[str, torch.Tensor],
    *,
    architecture: str | None = None,
    threshold: float | None = None,
    input_shape: tuple[int, int, int] | None = None,
    normalisation: Mapping[str, Sequence[float]] | None = None,
    class_names: Sequence[str] | None = None,
    training: Mapping[str, object] | None = None,
    force: bool = False,
) -> None:
    """Write `state` with what is needed to use it: the self-describing format that `read_checkpoint` knows.

    Args:
        path: The file; it appears complete or not at all.
        state: A state dict with Filter Skeletons, unbroken or broken.
        architecture: A name of `swp_export.architectures.ARCHITECTURES`, or `package.module:factory`.
        threshold: Of the skeletons.
        input_shape: `(C, H, W)`.
        normalisation: `{"mean": [...], "std": [...]}`, per channel.
        class_names: One per class.
        training: What `read_training` gives back: tensors, containers and plain values that training goes on from.
        force: Overwrite an existing file.

    Raises:
        CheckpointError: `state` is not one that could be read again.
        OutputError: The file exists, or cannot be written.

    """
    tensors = OrderedDict((key, tensor.cpu().contiguous().clone()) for key, tensor in plain_tensors(state).items())
    layout_of(tensors)
    if metadata := getattr(state, "_metadata", None):  # the names of all modules, for `Checkpoint.modules`
        tensors.__dict__["_metadata"] = metadata
    content = {
        "format": FORMAT,
        "version": VERSION,
        "state_dict": tensors,
        "architecture": architecture,
        "threshold": threshold,
        "input_shape": None if input_shape is None else list(input_shape),
        "normalisation": None if normalisation is None else {key: list(v) for key, v in normalisation.items()},
        "class_names": None if class_names is None else list(class_names),
        "versions": {"swp-export": program_version(), "torch": str(torch.__version__)},
        "training": training,
    }
    # Into memory first: torch.save itself reports a full disk as a RuntimeError without its cause.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_write(path, force=force) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_training(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the state dict, with the keys it was written with, and the `training` that `write_checkpoint` put beside it.

    Raises:
        CheckpointError: The file cannot be read without executing code, or records no training.

    """
    path = Path(path)
    data = bytes_of(path)
    with naming(path):
        content = parse(path, data)
        training = content.get("training") if isinstance(content, Mapping) and described(content) else None
        if not isinstance(content, Mapping) or not isinstance(training, dict) or "state_dict" not in content:
            raise CheckpointError("it records no training that could be resumed; name a folder `train` wrote")
        return content["state_dict"], training


class Description(TypedDict, total=False):
    """The fields of a `Checkpoint` that a self-describing file states."""

    architecture: str | None
    threshold: float | None
    input_shape: tuple[int, int, int] | None
    metadata: dict[str, object]


def described(content: object) -> Description:
    """Return what the `content` of a self-describing file says of itself; nothing for any other file.

    Raises:
        CheckpointError: It says something else than expected, or is of another version.

    """
    stated = content.get("format") if isinstance(content, Mapping) else None
    if not isinstance(content, Mapping) or not isinstance(stated, str) or stated != FORMAT:
        return {}
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(
            f"written in version {shown(version)} of {FORMAT}, this program reads version {VERSION}; upgrade swp-export"
        )
    architecture, threshold, shape = (content.get(key) for key in ("architecture", "threshold", "input_shape"))
    if not isinstance(architecture, str | None):
        raise CheckpointError(f"its architecture is {shown(architecture)}, expected a name")
    if threshold is not None and not (isinstance(threshold, float | int) and 0 <= threshold < math.inf):
        raise CheckpointError(f"its threshold is {shown(threshold)}, expected a number that is not negative")
    return {
        "architecture": architecture,
        "threshold": None if threshold is None else float(threshold),
        "input_shape": None if shape is None else _image_shape(shape),
        "metadata": {key: content.get(key) for key in ("normalisation", "class_names", "versions")},
    }


def _image_shape(shape: object) -> tuple[int, int, int]:
    match shape:
        case [int(channels), int(height), int(width)] if 0 < min(channels, height, width) <= max(shape) <= _LARGEST:
            return channels, height, width
    raise CheckpointError(f"its input_shape is {shown(shape)}, expected [C, H, W]")
