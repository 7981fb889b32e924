"""What the skeleton update costs a training step: ResNet20, batches of 64 images of 32x32, one thread.

python benchmarks/training_overhead.py [STEPS]

Two equal networks take turns, step by step, in one loop; one has a SkeletonUpdate attached, the other has not. The
product `weight * FilterSkeleton` of the forward pass is in both: it is the network itself, not its bookkeeping.
"""

from __future__ import annotations

import copy
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from swp_export.architectures.resnet import ResNet
from swp_export.nn import SkeletonUpdate

if TYPE_CHECKING:
    from torch import nn

WARM_UP = 3


def main(steps: int) -> None:
    """Print the median of the ratios of paired steps, and the quartiles."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = ResNet("ResNet20")
    updated = copy.deepcopy(plain)
    optimizers = [torch.optim.SGD(n.parameters(), 0.1, momentum=0.9, weight_decay=1e-4) for n in (plain, updated)]
    SkeletonUpdate(updated, sr=1e-5, threshold=0.01).attach(optimizers[1])
    pairs = list(zip((plain, updated), optimizers, strict=True))
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    ratios = []
    for number in range(WARM_UP + steps):
        seconds = {}
        for network, optimizer in pairs[:: 1 if number % 2 else -1]:  # each goes first in every other turn
            seconds[network] = time_of_step(network, optimizer, images, labels)
        if number >= WARM_UP:
            ratios.append(seconds[updated] / seconds[plain])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    print(f"skeleton update, ResNet20, batch 64, one thread, {steps} steps:")
    print(f"  {median - 1:+.1%} per training step (quartiles {low - 1:+.1%} to {high - 1:+.1%}; reach: at most +5 %)")


def time_of_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    """Train one step and return its seconds: the processor's, which other programs on the machine disturb least."""
    start = time.process_time()
    optimizer.zero_grad()
    torch.autograd.backward(functional.cross_entropy(network(images), labels))
    optimizer.step()
    return time.process_time() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
