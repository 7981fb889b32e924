"""Any network's own convolutions, given Filter Skeletons.

    conv(x, weight)   ->   conv(x, weight * FilterSkeleton)          FilterSkeleton [N, K_h, K_w], all ones

A product with one is exact, so the network computes what it did, bit for bit.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from swp_export.nn.filter_stripe import FilterStripe

_Module = TypeVar("_Module", bound=nn.Module)


def convert(module: _Module) -> _Module:
    """Turn every `nn.Conv2d` in `module` that can carry a Filter Skeleton into a FilterStripe; return `module`.

    That is one with groups=1, a kernel larger than 1x1, and zero padding that is the same on opposite sides. The rest
    stays as it is: depthwise, 1x1 and transposed convolutions, subclasses of `nn.Conv2d`, and layers whose weight is
    computed (parametrisations, `weight_norm`, `torch.nn.utils.prune`). Converting twice is converting once.

    The layers remain the objects that they are, with their parameters, dtype, device, mode and hooks, under as many
    names as they have; only their class and the parameter `FilterSkeleton` are new, which is trained if the weight is.
    An optimizer made before does not know the skeletons: make it afterwards. State dicts of the plain network are to be
    loaded before, those with skeletons afterwards.

    Raises:
        ValueError: There is no such layer, or `module` holds a DistributedDataParallel, which would not synchronise
            parameters that it has not seen.

    """
    if any(isinstance(part, DistributedDataParallel) for part in module.modules()):
        raise ValueError(
            "DistributedDataParallel does not see parameters added later; convert the network inside first"
        )
    obstacles = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and not isinstance(layer, FilterStripe):
            obstacle = _obstacle(layer)
            if obstacle is None:
                _give_skeleton(layer)
            else:
                obstacles[name or "it"] = obstacle
    if not any(isinstance(layer, FilterStripe) for layer in module.modules()):
        found = "; ".join(f"{name} {obstacle}" for name, obstacle in list(obstacles.items())[:3]) or "no Conv2d at all"
        raise ValueError(
            f"{type(module).__name__} has no convolution for a Filter Skeleton, an nn.Conv2d with groups=1, a kernel "
            f"larger than 1x1 and zero padding; found {found}"
        )
    return module


def _obstacle(layer: nn.Conv2d) -> str | None:
    """Return why `layer` cannot be a FilterStripe, None if it can."""
    own = {name for name, _ in layer.named_parameters(recurse=False)}
    if type(layer) is not nn.Conv2d:
        return f"is a {type(layer).__name__}"
    if "forward" in vars(layer):
        return "has a forward of its own"
    if own != ({"weight"} if layer.bias is None else {"weight", "bias"}):
        return f"computes its weight, its parameters are {', '.join(sorted(own)) or 'none'}"
    if layer.groups != 1:
        return f"has groups={layer.groups}"
    if layer.kernel_size == (1, 1):
        return "is 1x1"
    if layer.padding_mode != "zeros":
        return f"pads with padding_mode={layer.padding_mode!r}"
    return "pads one side more than the other" if _padding(layer) is None else None


def _padding(layer: nn.Conv2d) -> tuple[int, int] | None:
    """Return the zeros on either side in height and width, None where the sides differ."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":
        height, width = (
            dilation * (kernel - 1) for dilation, kernel in zip(layer.dilation, layer.kernel_size, strict=True)
        )
        return None if height % 2 or width % 2 else (height // 2, width // 2)
    height, width = (int(pad) for pad in layer.padding)
    return height, width


def _give_skeleton(layer: nn.Conv2d) -> None:
    padding = _padding(layer)
    assert padding is not None
    layer.padding = padding
    layer.__class__ = FilterStripe
    assert isinstance(layer, FilterStripe)
    layer.add_skeleton()
