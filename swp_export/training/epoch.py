"""One pass over the data: training with the skeleton update, and testing."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from swp_export.errors import InputError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from swp_export.training.ranks import Ranks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean over one pass, over all processes: `loss` is the cross-entropy, `accuracy` in percent."""

    loss: float
    accuracy: float


class Trainer:
    """Runs a network over batches.

    Args:
        network: In float32 on the device of `ranks`.
        optimizer: Of its parameters, with a `SkeletonUpdate` attached.
        ranks: The processes that share the work.
        amp: Compute in bfloat16 on the CPU, in float16 with scaled gradients on CUDA, where torch holds that safe.

    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks, *, amp: bool) -> None:
        self.network = self.shared = network
        if ranks.size > 1:
            self.shared = DistributedDataParallel(network)
            # It compares the strides of kernels 1x1 or with one channel, which mean nothing there.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        self.optimizer = optimizer
        self.ranks = ranks
        self.amp = amp
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=amp and ranks.device.type == "cuda")

    def train(self, batches: Any, progress: Callable[[float], None]) -> Scores:
        """Train on `batches` of (images `[B, C, H, W]`, labels `[B]`); `progress` gets the fraction that is done.

        Raises:
            InputError: An image cannot be read.
            TrainingError: The loss is not finite any more, a batch is too small, or images cannot be loaded.

        """
        self.network.train()
        loss_sum, correct, seen = torch.zeros(3, dtype=torch.float64, device=self.ranks.device)
        for number, (images, labels) in enumerate(_loaded(batches), start=1):
            images, labels = self._moved(images), self._moved(labels)  # noqa: PLW2901
            self.optimizer.zero_grad()
            with self._autocast():
                logits = self._logits(images)
                loss = functional.cross_entropy(logits, labels)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimizer)
            self.scaler.update()
            loss_sum += loss.detach() * len(labels)
            correct += (logits.detach().argmax(dim=1) == labels).sum()
            seen += len(labels)
            progress(number / len(batches))
        return self._scores(loss_sum, correct, seen)

    @torch.no_grad()
    def test(self, batches: Any) -> Scores:
        """Test on `batches`, without training; processes may have different numbers of them."""
        self.network.eval()
        self.ranks.copy_from_first(self.network.buffers())  # each has its own BatchNorm statistics
        loss_sum, correct, seen = torch.zeros(3, dtype=torch.float64, device=self.ranks.device)
        for images, labels in _loaded(batches):
            images, labels = self._moved(images), self._moved(labels)  # noqa: PLW2901
            with self._autocast():
                logits = self.network(images)
                loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
            seen += len(labels)
        return self._scores(loss_sum, correct, seen)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        try:
            logits: torch.Tensor = self.shared(images)
        except ValueError as error:
            if len(images) > 1 or not str(error).startswith("Expected more than 1 value per channel"):
                raise
            raise TrainingError(
                "a batch of one image is too small for this network's BatchNorm; choose a --batch-size above 1 that "
                "leaves no single image at the end of an epoch"
            ) from error
        return logits

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.ranks.device, non_blocking=True)

    def _autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.ranks.device.type == "cuda" else torch.bfloat16
        return torch.autocast(self.ranks.device.type, dtype=dtype, enabled=self.amp)

    def _scores(self, loss_sum: torch.Tensor, correct: torch.Tensor, seen: torch.Tensor) -> Scores:
        totals = self.ranks.total(float(loss_sum), float(correct), float(seen))
        loss = totals[0] / totals[2]
        if not math.isfinite(loss):
            raise TrainingError(f"training diverged: the loss is {loss}; lower --lr, or --sr if it is large")
        return Scores(loss=loss, accuracy=100 * totals[1] / totals[2])


def _loaded(batches: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches; what fails in a process that loads images is told in one line here."""
    try:
        yield from batches
    except InputError as error:
        # torch makes the traceback of the other process the message; its last line is ours.
        last = str(error).rstrip().splitlines()[-1]
        raise InputError(last.removeprefix(f"{InputError.__module__}.InputError: ")) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(
            f"a process that loads images ended: {str(error).splitlines()[0]}; it may have had too little memory, "
            "pass fewer --workers"
        ) from error
