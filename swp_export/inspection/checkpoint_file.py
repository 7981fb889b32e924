"""What is in a checkpoint."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from swp_export.architectures import known_architecture
from swp_export.architectures.fitting import construct
from swp_export.architectures.inference import classes_of, infer_architecture
from swp_export.checkpoint import SKELETON_SUFFIX, read_checkpoint
from swp_export.errors import ArchitectureError, CheckpointError
from swp_export.inspection.layers import Convolution, dead_layer_warnings, inspected, skeleton_above, totals_of
from swp_export.inspection.report import InspectReport
from swp_export.inspection.values import skeleton_values
from swp_export.network.apply_threshold import apply_threshold, fitting_thresholds
from swp_export.network.wrapping_prefix import unwrapped
from swp_export.nn.filter_stripe import live_stripes
from swp_export.stripes import Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from swp_export.checkpoint import Checkpoint

_NO_PARAMETERS = (SKELETON_SUFFIX, ".running_mean", ".running_var")


def inspect_checkpoint(path: Path, threshold: float | None) -> InspectReport:
    """Return what is in the checkpoint `path`; arguments and errors are those of `inspect`."""
    checkpoint = unwrapped(read_checkpoint(path))
    applied, fitting = _deciding_threshold(checkpoint, threshold)
    architecture, warnings = _architecture(checkpoint)
    num_classes = classes_of(checkpoint.state)
    stock = _stock_skeletons(checkpoint, architecture, num_classes) if checkpoint.layout.broken else {}
    convolutions = _convolutions(checkpoint, applied if fitting is None else fitting[0], stock)
    layers = tuple(inspected(conv) for conv in convolutions)
    return InspectReport(
        file=str(path),
        kind=checkpoint.layout.name,
        bytes=path.stat().st_size,
        sha256=checkpoint.sha256,
        architecture=architecture,
        num_classes=num_classes,
        input_shape=_input_shape(checkpoint, architecture, convolutions[0].channels),
        recorded_threshold=checkpoint.threshold,
        threshold=applied,
        fitting_thresholds=fitting,
        parameters=_parameters(checkpoint.state),
        metadata=_plain(checkpoint),
        layers=layers,
        totals=totals_of(layers, stripes_before=sum(map(math.prod, stock.values())) or None),
        kept=None,
        values=skeleton_values(convolutions),
        graph=None,
        warnings=(*warnings, *_contradiction(checkpoint, fitting, applied), *dead_layer_warnings(layers)),
    )


def _deciding_threshold(
    checkpoint: Checkpoint, requested: float | None
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the threshold that was given or recorded, and without one those that the file's row counts allow."""
    if checkpoint.layout.takes_threshold and requested is None and checkpoint.threshold is None:
        return None, fitting_thresholds(checkpoint)
    # It knows every way in which a threshold can be wrong.
    return apply_threshold(checkpoint, requested).threshold, None


def _contradiction(
    checkpoint: Checkpoint, fitting: tuple[float, float] | None, applied: float | None
) -> tuple[str, ...]:
    if not checkpoint.layout.broken or not checkpoint.layout.takes_threshold or fitting or applied is not None:
        return ()
    return ("no threshold keeps in every layer as many stripes as it has rows: the file is not of one prune()",)


def _convolutions(
    checkpoint: Checkpoint, threshold: float | None, stock: Mapping[str, tuple[int, int, int]]
) -> list[Convolution]:
    """Return every convolution of the state dict, those without a Filter Skeleton included."""
    found = []
    for key, weight in checkpoint.state.items():
        name = key.removesuffix(".weight")
        if name == key or weight.ndim != 4:
            continue
        skeleton, magnitudes = _skeleton(weight, checkpoint.skeletons.get(name), threshold)
        before = stock[name][0] if name in stock else None
        found.append(
            Convolution(
                name=name,
                channels=weight.shape[1],
                skeleton=skeleton,
                magnitudes=magnitudes,
                filters_before=before,
            )
        )
    return found


def _skeleton(
    weight: torch.Tensor, saved: torch.Tensor | None, threshold: float | None
) -> tuple[Skeleton | None, npt.NDArray[np.float32] | None]:
    """Return a layer's skeleton, if anything decides on it, and the values to which a threshold applies, if any."""
    if saved is None:
        return Skeleton.from_weight(weight.float().numpy()), None
    if saved.dtype == torch.bool or saved.shape[1:] == (1, 1):
        return Skeleton(live_stripes(saved, math.inf).numpy()), None
    magnitudes = saved.float().abs().numpy()
    return None if threshold is None else skeleton_above(magnitudes, threshold), magnitudes


def _architecture(checkpoint: Checkpoint) -> tuple[str | None, tuple[str, ...]]:
    """Return the architecture's name, or None and why it is unknown."""
    if checkpoint.architecture is not None:
        return checkpoint.architecture, ()
    broken, modules = checkpoint.layout.broken, checkpoint.modules
    try:
        return infer_architecture(checkpoint.state, modules=modules, broken=broken), ()
    except ArchitectureError as error:
        return None, (f"the architecture is unknown: {error}",)


def _stock_skeletons(
    checkpoint: Checkpoint, architecture: str | None, num_classes: int | None
) -> dict[str, tuple[int, int, int]]:
    """Return `(N, K_h, K_w)` of each convolution of the known stock network that was broken, by name; else nothing."""
    known = known_architecture(architecture or "")
    if known is None or num_classes is None:
        return {}
    stock = {
        name: (layer.out_channels, layer.kernel_size[0], layer.kernel_size[1])
        for name, layer in construct(known, num_classes).named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    wider = any(t.shape[0] > stock[name][0] for name, t in checkpoint.skeletons.items() if name in stock)
    return {} if wider else stock


def _input_shape(checkpoint: Checkpoint, architecture: str | None, channels: int) -> tuple[int, int, int] | None:
    """Return the recorded shape, else the one the architecture is made for, with the `channels` that the file takes."""
    known = known_architecture(architecture or "")
    if checkpoint.input_shape is not None or known is None or known.input_shape is None:
        return checkpoint.input_shape
    return channels, *known.input_shape[1:]


def _parameters(state: Mapping[str, torch.Tensor]) -> int:
    return sum(t.numel() for key, t in state.items() if t.is_floating_point() and not key.endswith(_NO_PARAMETERS))


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what is recorded, in JSON's own types: a file may hold tensors there, or NaN."""
    recorded = {key: value for key, value in checkpoint.metadata.items() if value is not None}
    try:
        plain: dict[str, Any] = json.loads(json.dumps(recorded, default=str), parse_constant=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: what it records as {', '.join(recorded)} is no plain data ({error}); save it again"
        ) from error
    return plain
