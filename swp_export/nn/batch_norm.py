"""Batch normalisation whose channels can be pruned."""

from __future__ import annotations

import torch
from torch import nn


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` that starts at gamma = 0.5, as the method does, and can drop channels."""

    def reset_parameters(self) -> None:
        """Initialise as torch does, but with gamma at 0.5."""
        super().reset_parameters()
        if self.affine:
            nn.init.constant_(self.weight, 0.5)

    @torch.no_grad()
    def prune(self, mask: torch.Tensor) -> None:
        """Keep the channels where `mask`, bool `[num_features]`, is true."""
        if self.affine:
            self.weight = nn.Parameter(self.weight[mask])
            self.bias = nn.Parameter(self.bias[mask])
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean = self.running_mean[mask]
            self.running_var = self.running_var[mask]
        self.num_features = int(mask.sum())
