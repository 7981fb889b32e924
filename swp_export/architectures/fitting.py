"""Fitting a network to the weights of a checkpoint whose widths are not the stock ones.

No forward pass of a network here depends on its widths, so the stock module takes over the checkpoint's tensors
whatever their number of channels, and one run with tensors without data (torch's meta device) shows whether they fit
each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from swp_export.errors import ArchitectureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from swp_export.architectures import Architecture

_Adjustable = nn.Conv2d | nn.BatchNorm2d | nn.Linear


def construct(
    architecture: Architecture, num_classes: int | None, input_channels: int | None = None, *, with_data: bool = False
) -> nn.Module:
    """Return the stock network; a known one without data, on the meta device, unless it is asked for `with_data`.

    `num_classes` may be None only for a user's factory, which is then called without it. `input_channels` replaces the
    first convolution's: networks for grey images are otherwise the same.

    Raises:
        ArchitectureError: A known network lacks the number of classes, or a factory fails.

    """
    if num_classes is None and architecture.known:
        raise ArchitectureError(
            f"the checkpoint has no fully connected layer to tell {architecture.name}'s number of classes from; name "
            "its architecture with --arch NAME or --arch package.module:factory"
        )
    # A user's factory may do what tensors without data cannot.
    with torch.device("meta" if architecture.known and not with_data else "cpu"):
        module = architecture.constructor(num_classes)
    first = first_convolution(module)
    if first is not None and input_channels is not None and first.in_channels != input_channels:
        shape = (first.out_channels, input_channels // first.groups, *first.kernel_size)
        first.weight = nn.Parameter(first.weight.new_empty(shape))
        first.in_channels = input_channels
        first.reset_parameters()
    return module


def first_convolution(module: nn.Module) -> nn.Conv2d | None:
    """Return the first convolution in the order of construction."""
    return next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)


def replace_dead_blocks(module: nn.Module, keys: Collection[str], modules: Collection[str]) -> tuple[str, ...]:
    """Replace the residual blocks that a broken checkpoint lacks by their shortcut; return their names.

    The method's `prune` does so with a block whose conv1 or conv2 has no live stripe. The block's last ReLU and bn2's
    constant go with it. An identity shortcut leaves no key; another one is left as `<block>.0.*` and `<block>.1.*`.

    Args:
        module: The stock network.
        keys: The checkpoint's keys.
        modules: The names of its modules, if known. A block that is not among them is missing, not dead, and so is
            what its keys lack of one whose conv1 is among them.

    """
    dead: list[str] = []
    for name, block in list(module.named_modules()):
        is_block = hasattr(block, "downsample") and isinstance(getattr(block, "conv1", None), nn.Module)
        replaced = not modules or (name in modules and f"{name}.conv1" not in modules)
        if is_block and replaced and not any(key.startswith(f"{name}.conv1.") for key in keys):
            shortcut = block.downsample
            module.set_submodule(name, shortcut if isinstance(shortcut, nn.Module) else nn.Sequential())
            dead.append(name)
    return tuple(dead)


def fit(module: nn.Module, state: Mapping[str, torch.Tensor], architecture: str) -> None:
    """Let `module` take over the tensors of `state`, without a copy, and their widths.

    Raises:
        ArchitectureError: Keys are missing or left over, or a shape differs in more than its widths.

    """
    _require_same_keys(module.state_dict().keys(), state.keys(), architecture)
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        for leaf, stock in list(layer.named_parameters(recurse=False)):
            tensor = _fitting(layer, leaf, stock, state[prefix + leaf], prefix + leaf)
            setattr(layer, leaf, nn.Parameter(tensor, requires_grad=False))
        for leaf, stock in list(layer.named_buffers(recurse=False)):
            if prefix + leaf in state:
                setattr(layer, leaf, _fitting(layer, leaf, stock, state[prefix + leaf], prefix + leaf))
            elif leaf == "num_batches_tracked":
                setattr(layer, leaf, torch.zeros((), dtype=torch.long))
        _adopt_widths(name, layer)


def run_without_data(module: nn.Module, input_shape: tuple[int, int, int], architecture: Architecture) -> torch.Tensor:
    """Return the output of `module` for one input `[1, C, H, W]`, on the meta device where that is possible.

    Raises:
        ArchitectureError: Layers do not fit each other, or the output is no tensor `[1, ...]`.

    """
    device = torch.device("meta" if architecture.known else "cpu")
    tensors = {key: tensor.to(device) for key, tensor in module.state_dict().items()}
    last = "the input"

    def watch(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def check(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal last
            last = name
            expected = _input_width(layer)
            found = inputs[0].shape[-1 if isinstance(layer, nn.Linear) else 1]
            if found != expected:
                raise ArchitectureError(
                    f"{name} takes {expected} channels but is given {found} at input shape {list(input_shape)}: the "
                    f"checkpoint is not a {architecture.name}, or not one for this shape; use --arch or --input-shape"
                )

        return check

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, _Adjustable)]
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers]
    try:
        with torch.no_grad():
            output = torch.func.functional_call(module, tensors, (torch.zeros(1, *input_shape, device=device),))
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ArchitectureError(
            f"the layers do not fit each other after {last} at input shape {list(input_shape)}: {reason}; the "
            f"checkpoint is not a {architecture.name}, or not one for this shape; use --arch or --input-shape"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor):
        raise ArchitectureError(f"{architecture.name} returns {type(output).__name__}, expected one tensor [B, ...]")
    if output.ndim < 1 or output.shape[0] != 1:
        raise ArchitectureError(f"{architecture.name} returns {list(output.shape)} for one input, expected [1, ...]")
    return output


def _require_same_keys(expected: Collection[str], found: Collection[str], architecture: str) -> None:
    missing = [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in expected]
    complaints = [
        f"{len(keys)} keys {verb} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for keys, verb in ((missing, "are missing"), (unexpected, "are unexpected"))
        if keys
    ]
    if complaints:
        raise ArchitectureError(
            f"the checkpoint is not a {architecture}: {' and '.join(complaints)}; name its architecture with "
            "--arch NAME or --arch package.module:factory"
        )


def _fitting(layer: nn.Module, leaf: str, stock: torch.Tensor, tensor: torch.Tensor, key: str) -> torch.Tensor:
    """Return `tensor` if it may stand where `stock` does: widths are free, kernels are not."""
    free = (1 if leaf == "FilterSkeleton" else 2) if isinstance(layer, _Adjustable) else 0
    if tensor.ndim != stock.ndim or tensor.shape[free:] != stock.shape[free:]:
        raise ArchitectureError(
            f"{key} is {list(tensor.shape)}, expected {list(stock.shape)}{' but for its widths' if free else ''}; name "
            "the architecture with --arch NAME or --arch package.module:factory"
        )
    return tensor


def _adopt_widths(name: str, layer: nn.Module) -> None:
    """Make the attributes of `layer` say what its tensors are."""
    if not isinstance(layer, _Adjustable):
        return
    tensors = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
    own = {leaf: tensor.shape[0] for leaf, tensor in tensors if tensor.ndim}
    if len(set(own.values())) > 1:
        raise ArchitectureError(f"the tensors of {name} differ in their number of channels: {own}; the file is damaged")
    if isinstance(layer, nn.Conv2d):
        layer.out_channels, layer.in_channels = layer.weight.shape[0], layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif own:
        layer.num_features = next(iter(own.values()))


def _input_width(layer: nn.Module) -> int:
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels
    if isinstance(layer, nn.Linear):
        return layer.in_features
    assert isinstance(layer, nn.BatchNorm2d)
    return layer.num_features
