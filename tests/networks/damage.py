"""Random weights, statistics and dead filters: what a network is before `prune` sees it."""

from __future__ import annotations

import torch
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
DEAD_FILTERS = 0.3
DEAD_STRIPES = 0.75
DEAD_TAPS = 0.3
"""Of the kernel of a grouped convolution: fewer, since a large one may reach only the middle taps of a small map."""


def damaged(network: nn.Module, input_shape: tuple[int, ...], *, linears: bool = False, seed: int = 0) -> nn.Module:
    """Give `network` random weights, dead filters and random BatchNorms, and return it in eval mode.

    Of the filters of every convolution 30 % are dead, with `linears` of the rows of every Linear but the last too. A
    dead filter keeps its bias, and its BatchNorm: it is a constant that is not zero. A live KxK filter loses random
    stripes. The statistics are those of random images, randomly off: activations keep their scale through any depth.
    """
    generator = torch.Generator().manual_seed(seed)
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1:]
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, (*CONVOLUTIONS, nn.Linear)):
                _fill(layer, generator)
            if isinstance(layer, CONVOLUTIONS) or (linears and isinstance(layer, nn.Linear) and layer not in last):
                _kill(layer, generator)
        _set_norms(network.eval(), torch.randn(2, *input_shape, generator=generator), generator)
        for layer in network.modules():
            if isinstance(layer, nn.PReLU):
                layer.weight.copy_(0.1 + 0.3 * torch.rand(layer.weight.shape, generator=generator))
    return network


def _filters(layer: nn.Module) -> torch.Tensor:
    """Return a view of the weight as `[groups, filters, columns, taps]`."""
    weight = layer.weight.flatten(2) if layer.weight.ndim > 2 else layer.weight.unsqueeze(2)
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return weight.view(layer.groups, -1, *weight.shape[1:]).transpose(1, 2)
    return weight.view(getattr(layer, "groups", 1), -1, *weight.shape[1:])


def _fill(layer: nn.Module, generator: torch.Generator) -> None:
    fan_in = layer.weight[0].numel() if not isinstance(layer, nn.ConvTranspose2d) else layer.weight.shape[0]
    layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
    if layer.bias is not None:
        layer.bias.copy_(0.2 * torch.randn(layer.bias.shape, generator=generator))


def _kill(layer: nn.Module, generator: torch.Generator) -> None:
    filters = _filters(layer)
    groups, count, _, taps = filters.shape
    order = torch.randperm(groups * count, generator=generator)
    dead = torch.zeros(groups * count, dtype=torch.bool)
    dead[order[: round(DEAD_FILTERS * groups * count)]] = True
    stripes = torch.rand((groups, count, taps), generator=generator) < (DEAD_STRIPES if groups == 1 else DEAD_TAPS)
    stripes[stripes.all(dim=2)] = False
    stripes |= dead.view(groups, count, 1)
    filters.masked_fill_(stripes.unsqueeze(2), 0)


def _set_norms(network: nn.Module, images: torch.Tensor, generator: torch.Generator) -> None:
    """Give every BatchNorm random parameters, and the statistics that `images` have there, randomly off.

    One after the other, as the images come to them: so none of them is further off for those before it.
    """

    def noise(size: float, layer: nn.Module) -> torch.Tensor:
        return size * torch.randn(layer.running_var.shape, generator=generator)

    def set_norm(layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        by_channel = inputs[0].transpose(0, 1).flatten(1)
        variance = by_channel.var(dim=1)
        variance = torch.where(variance > 1e-6, variance, 1)
        layer.running_mean.copy_(by_channel.mean(dim=1) + noise(0.3, layer) * variance.sqrt())
        layer.running_var.copy_(variance * torch.exp(noise(0.3, layer)))
        layer.weight.copy_(torch.exp(noise(0.2, layer)))
        layer.bias.copy_(noise(0.3, layer))

    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    hooks = [layer.register_forward_pre_hook(set_norm) for layer in norms]
    network(images)
    for hook in hooks:
        hook.remove()
