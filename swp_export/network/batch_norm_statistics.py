"""BatchNorm's running statistics of a pruned network, estimated anew: its layers no longer see what they did before."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from swp_export.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn


@torch.no_grad()
def with_new_statistics(module: nn.Module, batches: Iterable[torch.Tensor]) -> nn.Module:
    """Return a copy of `module` whose BatchNorm layers have the mean and variance of `batches` `[N, C, H, W]`.

    Each is the plain average over the batches, which pass as in training; everything else is as in evaluation.

    Raises:
        InputError: the module refuses the images, or has no BatchNorm with running statistics.

    """
    module = copy.deepcopy(module).eval()
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers:
        raise InputError("the network has no BatchNorm whose statistics could be estimated: leave --recalibrate out")
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average
        layer.train()
    try:
        for images in batches:
            module(images)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"BatchNorm's statistics cannot be estimated on these images: {error}") from error
    return module.eval()
