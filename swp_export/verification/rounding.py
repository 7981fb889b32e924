"""What rounding alone does to a network's outputs: runs in float64 in which everything is off as float32 would have it.

A float32 sum of products is the exact sum of products that are off by some units in their last place, and so is every
other operation that rounds its result (backward error analysis). A run in float64 in which each weight and each layer's
output is moved at random by up to one unit roundoff therefore strays from the truth as a float32 run does, and where it
does: much where a Sigmoid is steep, not at all where it is saturated. A few such runs say of every output how far
rounding may move it, where a single float32 run may be exact by luck (Monte Carlo arithmetic: Parker, 1997).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from torch import nn

UNIT = 2.0**-24
"""Unit roundoff of float32: the largest relative error of a number that is rounded to it."""
UNIT_OF_FLOAT16 = 2.0**-11
AT_A_TIME = 1 << 15
"""Numbers that are moved at a time: what is made of them on the way stays in the processor's cache."""
LARGEST_EXACT = 2.0**24
"""Integers up to this are float32 numbers."""


def moved(array: np.ndarray, rng: np.random.Generator, unit: float, *, least: float = 0.0) -> np.ndarray:
    """Return `array` (float64), moved at random by up to `unit` of each element, or of `least` if that is more.

    Scalars and vectors stay as they are: they may be sizes, scales or axes of other operators, and a bias rounds with
    the sum that it is added to. So do integers, zero among them: masks and grids are made of them, and are exact.
    """
    if array.ndim < 2 or array.dtype != np.float64:
        return array
    result = array.copy()
    flat = result.reshape(-1)
    for start in range(0, flat.size, AT_A_TIME):
        part = flat[start : start + AT_A_TIME]
        size = np.abs(part)
        inexact = (part != np.rint(part)) | (size > LARGEST_EXACT)
        if least:
            np.maximum(size, least, out=size)
        # Odd numbers of a byte, none of them zero, are fine enough for noise, and drawn many times as fast as floats.
        noise = np.frombuffer(rng.bytes(part.size), np.int8) | np.int8(1)
        size *= unit / 128
        size *= noise
        size *= inexact
        part += size
    return result


def rounding_of_mean(
    x: np.ndarray, rng: np.random.Generator, unit: float, epsilon: float, scale: np.ndarray | None
) -> np.ndarray:
    """Return what an InstanceNormalization of `x` `[N, C, ...]` is off where the mean that it takes off is rounded.

    All of a map is off alike, so that no later mean evens it out; where the map is nearly constant, by far more than
    its values round. `[N, C, 1, ...]`
    """
    axes = tuple(range(2, x.ndim))
    noise = unit * (2 * rng.random(x.shape[:2]) - 1)
    off = noise * np.abs(x.mean(axis=axes)) / np.sqrt(x.var(axis=axes) + epsilon) * (1.0 if scale is None else scale)
    return np.asarray(off.reshape(*x.shape[:2], *[1] * len(axes)))


def off_by_summing(x: np.ndarray) -> np.ndarray:
    """Return what the means of maps `x` `[N, C, ...]` are off where each is four float32 sums, value after value.

    ONNX Runtime's GlobalAveragePool does, in one sum where it is optimised; PyTorch adds by halves. Where a map is
    nearly constant, all sums round alike: of 784 values the mean is off by 45 units, by 5 in PyTorch. `[N, C, 1, ...]`
    """
    maps = x.reshape(*x.shape[:2], -1).astype(np.float32)
    count = maps.shape[2]
    lanes = np.pad(maps, ((0, 0), (0, 0), (0, -count % 4))).reshape(*x.shape[:2], -1, 4)
    sums = np.add.accumulate(lanes, axis=2)[:, :, -1]
    off = sums.sum(axis=2) / np.float32(count) - maps.mean(axis=2, dtype=np.float64)
    return np.asarray(off.reshape(*x.shape[:2], *[1] * (x.ndim - 2)))


def summing_means() -> AbstractContextManager[object]:
    """Return the context in which PyTorch's means of whole maps are off as `off_by_summing` says."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    means = (functional.adaptive_avg_pool2d, torch.mean, torch.Tensor.mean)

    class Summing(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            result = func(*args, **(kwargs or {}))
            if func not in means or not args or args[0].ndim < 3 or result.numel() != args[0].shape[:2].numel():
                return result
            return result + torch.from_numpy(off_by_summing(args[0].numpy())).reshape(result.shape)

    return Summing()


def move_module(module: nn.Module, seed: int, unit: float) -> None:
    """Move the weights of a float64 `module`, now, and the outputs of its layers, whenever it runs, as `moved` does.

    Of layers alone: a sum or an activation that is a function rounds once, which the next layer's rounding outweighs.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)

    # As the operators' `Rounding` has it: of ONNX Runtime, which runs what is compared with the module.
    approximated = (nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.LogSoftmax, nn.SELU, nn.Sigmoid, nn.SiLU)
    twice = (nn.Mish, nn.Softmax, nn.Softplus, nn.Tanh)
    centring = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)

    def move(tensor: torch.Tensor, times: int = 1, least: float = 0.0) -> torch.Tensor:
        noise = times * unit * (2 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64) - 1)
        exact = (tensor == tensor.round()) & (tensor.abs() <= LARGEST_EXACT)
        return tensor + (noise * tensor.abs().clamp(min=least)).masked_fill(exact, 0)

    def shift(layer: Any, x: torch.Tensor) -> torch.Tensor:
        # As `rounding_of_mean`.
        groups = layer.num_groups if isinstance(layer, nn.GroupNorm) else x.shape[1]
        flat = x.reshape(x.shape[0], groups, -1)
        noise = unit * (2 * torch.rand(flat.shape[:2], generator=generator, dtype=torch.float64) - 1)
        off = noise * flat.mean(2).abs() / (flat.var(2, correction=0) + layer.eps).sqrt()
        off = off.repeat_interleave(x.shape[1] // groups, 1) * (1.0 if layer.weight is None else layer.weight)
        by_map: torch.Tensor = off.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return by_map

    def hook(layer: nn.Module, inputs: tuple[object, ...], output: object) -> object:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        if isinstance(layer, centring) and isinstance(inputs[0], torch.Tensor) and inputs[0].ndim > 2:
            output = output + shift(layer, inputs[0])
        return move(output, 1 + isinstance(layer, twice), 2.0 if isinstance(layer, approximated) else 0.0)

    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.ndim > 1 and tensor.is_floating_point():
                tensor.copy_(move(tensor))
    for layer in module.modules():
        if next(layer.children(), None) is None and not isinstance(layer, nn.ReLU | nn.MaxPool2d | nn.Flatten):
            layer.register_forward_hook(hook)
