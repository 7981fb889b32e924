"""The network before it was pruned: the dense baseline, and how far the threshold alone moves its outputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct, fit
from swp_export.errors import ArchitectureError
from swp_export.network.apply_threshold import as_saved
from swp_export.network.instantiate import build

if TYPE_CHECKING:
    from torch import nn

    from swp_export.network.instantiate import Network


def unpruned(network: Network) -> nn.Module:
    """Return the dense network to compare latency with: float32 on the CPU, in eval mode, no gradients.

    Of an unbroken checkpoint that is the network as saved, with no threshold. A broken checkpoint has forgotten the
    dead stripes and filters; there it is the stock network into which the live ones are put, all else zero, which
    computes the same as `network`.

    Raises:
        ArchitectureError: No stock network computes what the broken checkpoint does, or it is wider than stock.

    """
    checkpoint, architecture = network.checkpoint, resolve_architecture(network.architecture)
    if not checkpoint.layout.broken:
        module, _ = build(checkpoint, architecture, as_saved(checkpoint))
        return module
    stock = construct(architecture, network.num_classes, network.input_shape[0])
    state = network.module.state_dict()
    stock_state = stock.state_dict()
    if shortcuts := sorted({key.rpartition(".")[0].rpartition(".")[0] for key in state.keys() - stock_state.keys()}):
        raise ArchitectureError(
            f"{', '.join(shortcuts)} lost the last ReLU when prune() left nothing but the shortcut, so no stock "
            f"{architecture.name} computes the same; take the unbroken checkpoint as the baseline"
        )
    fit(stock, {key: _embed(key, state.get(key), tensor) for key, tensor in stock_state.items()}, architecture.name)
    return stock.eval()


def threshold_error(network: Network) -> float | None:
    """Return how far the threshold alone moves the outputs, by their largest magnitude, on one image of noise.

    None of a broken checkpoint, which has forgotten what it was trained to, of a network that refuses the image, and of
    outputs that are not finite.
    """
    if network.checkpoint.layout.broken:
        return None
    x = torch.randn(1, *network.input_shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            trained, left = unpruned(network)(x), network.module(x)
    except RuntimeError:  # what refuses this one is told where it is verified
        return None
    scale, moved = max(float(trained.abs().max()), float(left.abs().max())), float((trained - left).abs().max())
    if not math.isfinite(moved):
        return None
    return moved / scale if scale else 0.0


def _embed(key: str, tensor: torch.Tensor | None, stock: torch.Tensor) -> torch.Tensor:
    """Return `tensor` in the first corner of one of the stock shape; the other channels compute zero."""
    full = torch.full(stock.shape, 1 if key.endswith("running_var") else 0, dtype=stock.dtype)
    if tensor is None:
        return full
    if any(size > limit for size, limit in zip(tensor.shape, stock.shape, strict=True)):
        raise ArchitectureError(
            f"{key} is {list(tensor.shape)}, more than the stock {list(stock.shape)}; there is no unpruned network"
        )
    full[tuple(slice(size) for size in tensor.shape)] = tensor
    return full
