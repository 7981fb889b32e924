"""A fully connected layer whose inputs and outputs can be pruned."""

from __future__ import annotations

import torch
from torch import nn


class Linear(nn.Linear):
    """`torch.nn.Linear` whose weights start as N(0, 0.01), as the method's do, and that can drop features."""

    def reset_parameters(self) -> None:
        """Initialise as torch does, but draw the weights from N(0, 0.01)."""
        super().reset_parameters()
        nn.init.normal_(self.weight, std=0.01)

    @torch.no_grad()
    def prune_in(self, mask: torch.Tensor) -> None:
        """Keep the input features where `mask`, bool `[in_features]`, is true."""
        self.weight = nn.Parameter(self.weight[:, mask])
        self.in_features = int(mask.sum())

    @torch.no_grad()
    def prune_out(self, mask: torch.Tensor) -> None:
        """Keep the output features where `mask`, bool `[out_features]`, is true."""
        self.weight = nn.Parameter(self.weight[mask])
        # Without a bias torch registers None there, which its annotations deny.
        bias: nn.Parameter | None = self.bias
        if bias is not None:
            self.bias = nn.Parameter(bias[mask])
        self.out_features = int(mask.sum())
