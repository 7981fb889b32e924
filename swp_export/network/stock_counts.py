"""What a network has before it is pruned: parameters, FLOPs and stripes of the stock architecture."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import TYPE_CHECKING

from torch import nn

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct, run_without_data
from swp_export.stripes import LayerCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_WEIGHTED = (*_CONVOLUTIONS, nn.Linear)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StockCounts:
    """What a network is before it is pruned.

    Attributes:
        params: Weights, biases and BatchNorm's gamma and beta, not the skeletons.
        folded_params: The same as a file holds them, with BatchNorm folded into one bias per filter.
        flops: 2 per multiply-add of convolutions and fully connected layers, at the positions of their output, for
            one input.
        skeletons: Convolution -> `(N, *kernel)`, in the order of the modules.
        layers: parameters of each convolution and fully connected layer as a file holds them, and its FLOPs.

    """

    params: int
    folded_params: int
    flops: int
    skeletons: dict[str, tuple[int, ...]]
    layers: dict[str, LayerCounts]


def stock_counts(architecture: str, num_classes: int | None, input_shape: tuple[int, int, int]) -> StockCounts:
    """Count the stock network for inputs `(C, H, W)`.

    Raises:
        ArchitectureError: The architecture is unknown or does not take this input.

    """
    known = resolve_architecture(architecture)
    module = construct(known, num_classes, input_shape[0])
    flops: Counter[nn.Module] = Counter()

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, _WEIGHTED)
        spread = inputs[0] if isinstance(layer, _TRANSPOSED) else output
        flops[layer] += 2 * math.prod(layer.weight.shape[1:]) * spread.numel()

    hook: Callable[..., None] = count
    skeletons = {}
    for name, layer in module.named_modules():
        if isinstance(layer, _WEIGHTED):
            layer.register_forward_hook(hook)
        if isinstance(layer, _CONVOLUTIONS):
            skeletons[name] = (layer.out_channels, *layer.weight.shape[2:])
    run_without_data(module.eval(), input_shape, known)
    params = sum(p.numel() for key, p in module.named_parameters() if not key.endswith("FilterSkeleton"))
    return StockCounts(
        params=params,
        folded_params=params + _folding(module),
        flops=flops.total(),
        skeletons=skeletons,
        layers={
            name: LayerCounts(params=layer.weight.numel() + _outputs(layer), flops=flops[layer])
            for name, layer in module.named_modules()
            if isinstance(layer, _WEIGHTED)
        },
    )


def _outputs(layer: nn.Module) -> int:
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(outputs, int)
    return outputs


def _folding(module: nn.Module) -> int:
    """Return by how many parameters `module` grows when every BatchNorm becomes the bias of the layer before it."""
    grows = 0
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            grows -= sum(parameter.numel() for parameter in layer.parameters())
        elif isinstance(layer, nn.Conv2d) and layer.bias is None:
            grows += layer.out_channels
    return grows
