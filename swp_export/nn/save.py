"""From a training loop to a file that `prune` and `inspect` read without options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swp_export.checkpoint import write_checkpoint
from swp_export.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn


def save(
    network: nn.Module,
    path: str | Path,
    *,
    threshold: float,
    input_shape: tuple[int, int, int],
    normalisation: Mapping[str, Sequence[float]] | None = None,
    class_names: Sequence[str] | None = None,
    architecture: str | None = None,
    force: bool = False,
) -> None:
    """Write the weights and Filter Skeletons of `network`, and what is needed to use them.

    Args:
        network: With FilterStripe layers; may be wrapped in DistributedDataParallel, DataParallel or `torch.compile`.
        path: The file; it appears complete or not at all.
        threshold: A stripe is dead where `abs(FilterSkeleton) <= threshold`, as of `SkeletonUpdate`.
        input_shape: `(C, H, W)` of one image.
        normalisation: `{"mean": [...], "std": [...]}`, per channel, of values from 0 to 1: what
            `torchvision.transforms.Normalize` was given.
        class_names: One per class, in the order of the outputs.
        architecture: `package.module:factory` of a network of your own, to remember: it is run only where `--arch` asks
            for it. Networks of `swp_export.architectures` are known by their weights.
        force: Overwrite an existing file.

    Raises:
        InputError: What is to be recorded is not what is expected.
        CheckpointError: The network has no Filter Skeletons, or values that are not finite.
        OutputError: The file exists, or cannot be written.

    """
    _require_plain(threshold, input_shape)
    write_checkpoint(
        path,
        network.state_dict(),
        architecture=architecture,
        threshold=float(threshold),
        input_shape=input_shape,
        normalisation=None if normalisation is None else _checked(normalisation, input_shape[0]),
        class_names=None if class_names is None else _names(class_names),
        force=force,
    )


def _require_plain(threshold: float, shape: tuple[int, int, int]) -> None:
    if not 0 <= threshold < math.inf:
        raise InputError(f"the threshold is {threshold!r}, expected a number that is not negative")
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputError(f"the input shape is {shape!r}, expected (C, H, W) of one image, without the batch")


def _checked(normalisation: Mapping[str, Sequence[float]], channels: int) -> dict[str, list[float]]:
    """Return plain numbers: tensors and NumPy's would be no plain values in the file."""
    if set(normalisation) != {"mean", "std"}:
        raise InputError(
            f"the normalisation has {', '.join(map(str, normalisation)) or 'nothing'}, expected mean and std"
        )
    numbers = {key: [float(number) for number in values] for key, values in normalisation.items()}
    for key, values in numbers.items():
        if len(values) != channels or not all(map(math.isfinite, values)) or (key == "std" and min(values) <= 0):
            positive = "positive " if key == "std" else ""
            raise InputError(
                f"the normalisation's {key} is {values}, expected {channels} {positive}numbers: one a channel"
            )
    return numbers


def _names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"the class names are {names!r}, expected a list with one text per class")
    return list(names)
