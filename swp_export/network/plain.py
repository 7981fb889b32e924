"""A network of ordinary convolutions from a checkpoint without Filter Skeletons, its small stripes set to zero."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct, fit, run_without_data
from swp_export.architectures.inference import classes_of
from swp_export.errors import ArchitectureError, InputError
from swp_export.network.relative_norms import beyond_gap, dead_stripes, relative_norms, require_share, with_zeroed
from swp_export.network.wrapping_prefix import unwrapped

if TYPE_CHECKING:
    import numpy as np

    from swp_export.checkpoint import Checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlainNetwork:
    """A checkpoint's network.

    Attributes:
        saved: as the checkpoint has it; float32 on the CPU, in eval mode, no gradients.
        module: the same with every small stripe exactly zero.
        architecture: `package.module:factory`.
        num_classes: as the factory was called with.
        input_shape: `(C, H, W)`.
        description: what `module` is.
        warnings: one sentence each on what is legal but probably not meant.

    """

    saved: nn.Module
    module: nn.Module
    architecture: str
    num_classes: int | None
    input_shape: tuple[int, int, int]
    description: str
    warnings: tuple[str, ...]


def instantiate_plain(
    checkpoint: Checkpoint,
    *,
    threshold: float | None,
    architecture: str | None,
    input_shape: tuple[int, int, int] | None,
) -> PlainNetwork:
    """Build the network of a PLAIN `checkpoint` and set its small stripes to zero.

    Args:
        checkpoint: its state fits what the factory makes.
        threshold: stripes of at most so many times the largest norm of their layer are dead; None: those that are zero.
        architecture: `package.module:factory` of any module that maps `[N, C, H, W]` to one tensor.
        input_shape: `(C, H, W)`.

    Raises:
        ArchitectureError: there is no factory, or what it makes does not fit the checkpoint.
        InputError: the input shape is missing.
        ThresholdError: the threshold is no share of a norm.

    """
    path = checkpoint.path
    if architecture is None:
        raise ArchitectureError(
            f"{path} was not trained with Filter Skeletons: none of its {len(checkpoint.state)} entries is one. To "
            "train it with them, pass the network through swp_export.nn.convert before its optimizer is made; to prune "
            "it as it is, say which network it is, --arch package.module:factory --input-shape C,H,W"
        )
    checkpoint = unwrapped(checkpoint, architecture)
    if input_shape is None:
        raise InputError(f"the input shape of {architecture} is not known; give --input-shape C,H,W")
    known, num_classes = resolve_architecture(architecture), classes_of(checkpoint.state)
    saved = construct(known, num_classes)
    state = {key: t.float() if t.is_floating_point() else t for key, t in checkpoint.state.items()}
    fit(saved, state, known.name)
    saved = saved.eval()
    run_without_data(saved, input_shape, known)
    module, description, warnings = saved, f"{path} as it computes", tuple[str, ...]()
    if threshold is not None:
        require_share(threshold)
        module = copy.deepcopy(saved)
        stripes, norms = _silence(module, threshold)
        description, warnings = with_zeroed(path, stripes, threshold), beyond_gap(norms, threshold, path)
    return PlainNetwork(
        saved=saved,
        module=module,
        architecture=known.name,
        num_classes=num_classes,
        input_shape=input_shape,
        description=description,
        warnings=warnings,
    )


def _silence(module: nn.Module, share: float) -> tuple[int, list[np.ndarray]]:
    """Set the dead stripes of `module` to zero; return how many were not zero before, and all norms."""
    stripes, norms, seen = 0, [], set[int]()
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or id(layer.weight) in seen:
            continue
        seen.add(id(layer.weight))
        of_layer = relative_norms(layer.weight.detach().numpy())
        dead = dead_stripes(of_layer, share)
        with torch.no_grad():
            layer.weight.masked_fill_(torch.from_numpy(dead)[:, None], 0)
        stripes += int((dead & (of_layer > 0)).sum())
        norms.append(of_layer)
    return stripes, norms
