"""What BatchNorm's statistics are estimated anew on, once stripes are dead."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.verification.evaluation_data import read_evaluation_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from swp_export.graph.metadata import InputShape

BATCH = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recalibration:
    """So many `images`, drawn from a file or from those that a data set has to train on, as `prune` names the two."""

    images: int
    data: str | Path | None = None
    dataset: str | None = None
    data_path: str | Path = "data"

    def __post_init__(self) -> None:
        if self.data is None and self.dataset is None:
            raise InputError("--recalibrate needs images: pass --data or --dataset")

    def apply(self, module: nn.Module, input_shape: InputShape, metadata: Mapping[str, str]) -> tuple[nn.Module, str]:
        """Return `module` with new statistics, and on what they were estimated.

        Raises:
            InputError: there are no such images, or the network refuses them, or has no BatchNorm.

        """
        import torch

        from swp_export.network.batch_norm_statistics import with_new_statistics

        found = read_evaluation_data(
            data=self.data,
            dataset=self.dataset,
            data_path=self.data_path,
            input_shape=input_shape,
            metadata=metadata,
            train=True,
        )
        assert found is not None
        if found.samples < self.images:
            raise InputError(f"--recalibrate asks for {self.images} images, there are {found.name}")
        drawn = np.random.default_rng(0).permutation(found.samples)[: self.images]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the augmentation: the same images each time
            images = [torch.from_numpy(np.asarray(found.part(number, number + 1)[0].x)) for number in drawn.tolist()]
        batches = torch.cat(images).chunk(math.ceil(self.images / BATCH))
        return with_new_statistics(module, batches), f"{self.images:,} of {found.name}"
