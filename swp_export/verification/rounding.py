"""What rounding alone does to a network's outputs: runs in float64 in which everything is off as float32 would have it.

A float32 sum of products is the exact sum of products that are off by some units in their last place, and so is every
other operation that rounds its result (backward error analysis). A run in float64 in which each weight and each layer's
output is moved at random by up to one unit roundoff therefore strays from the truth as a float32 run does, and where it
does: much where a Sigmoid is steep, not at all where it is saturated. A few such runs say of every output how far
rounding may move it, where a single float32 run may be exact by luck (Monte Carlo arithmetic: Parker, 1997).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

UNIT = 2.0**-24
"""Unit roundoff of float32: the largest relative error of a number that is rounded to it."""
UNIT_OF_FLOAT16 = 2.0**-11


def moved(array: np.ndarray, rng: np.random.Generator, unit: float) -> np.ndarray:
    """Return `array` (float64), each element moved at random by up to `unit` times its size; zeros stay zeros.

    Scalars and vectors stay as they are: they may be sizes, scales or axes of other operators, and a bias rounds with
    the sum that it is added to.
    """
    if array.ndim < 2 or array.dtype != np.float64:
        return array
    result: np.ndarray = array * (1 + unit * rng.uniform(-1, 1, array.shape))
    return result


def move_module(module: nn.Module, seed: int, unit: float) -> None:
    """Move the weights of a float64 `module`, now, and the outputs of its layers, whenever it runs, as `moved` does."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def move(tensor: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        return tensor * (1 + unit * (2 * noise - 1))

    def hook(_layer: nn.Module, _inputs: object, output: object) -> object:
        return move(output) if isinstance(output, torch.Tensor) and output.is_floating_point() else output

    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.ndim > 1 and tensor.is_floating_point():
                tensor.copy_(move(tensor))
    for layer in module.modules():
        if next(layer.children(), None) is None:
            layer.register_forward_hook(hook)
