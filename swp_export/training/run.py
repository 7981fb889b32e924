"""A training from its first epoch, or the one it was interrupted after, to its last."""

from __future__ import annotations

import json
import math
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler, Subset

from swp_export.errors import CheckpointError, InputError, TrainingError
from swp_export.nn import FilterStripe, SkeletonUpdate
from swp_export.progress import silent
from swp_export.training.epoch import Trainer
from swp_export.training.log import TrainingLog, record_from_line
from swp_export.training.report import TrainReport

if TYPE_CHECKING:
    from torch import nn

    from swp_export.progress import Progress
    from swp_export.training.datasets import ImageData
    from swp_export.training.ranks import Ranks
    from swp_export.training.run_folder import RunFolder

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
DECAYS_AT = (0.5, 0.75)
"""Fractions of the epochs after which the learning rate is divided by 10."""


class Run:
    """A network in training, and all that changes with it.

    Args:
        network: Trained in place.
        data: What it is trained and tested on.
        folder: Where its files go.
        ranks: The processes that share the work.
        settings: What must not change when the run is resumed.
        workers: Processes that load images.
        progress: Is told what is being done.

    Raises:
        InputError: The network has no Filter Skeletons that could be trained.

    """

    def __init__(
        self,
        network: nn.Module,
        data: ImageData,
        folder: RunFolder,
        ranks: Ranks,
        settings: dict[str, Any],
        workers: int,
        progress: Progress,
    ) -> None:
        self.network = network.to(ranks.device, memory_format=_memory_format(ranks.device))  # type: ignore[call-overload]
        self.folder, self.ranks, self.settings = folder, ranks, settings
        self.progress = progress if ranks.rank == 0 else silent
        self.layers = {
            name: layer for name, layer in network.named_modules() if isinstance(layer, FilterStripe) and layer.striped
        }
        optimizer = torch.optim.SGD(
            self.network.parameters(), settings["lr"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        try:
            update = SkeletonUpdate(self.network, sr=settings["sr"], threshold=settings["threshold"])
        except ValueError as error:
            raise InputError(str(error)) from error
        update.attach(optimizer)
        milestones = [math.ceil(settings["epochs"] * fraction) for fraction in DECAYS_AT]
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
        self.trainer = Trainer(self.network, optimizer, ranks, amp=settings["amp"])
        share = {"batch_size": settings["batch_size"] // ranks.size, "num_workers": workers}
        self.sampler: DistributedSampler[Any] = DistributedSampler(
            data.train, num_replicas=ranks.size, rank=ranks.rank, seed=settings["seed"]
        )
        self.batches: DataLoader[Any] = DataLoader(data.train, sampler=self.sampler, **share)
        # A share of its own for each process: DistributedSampler would test some images twice to make shares even.
        own = range(ranks.rank, len(data.test), ranks.size)
        self.test_batches: DataLoader[Any] = DataLoader(Subset(data.test, own), **share)
        self.log: list[dict[str, Any]] = []

    def complete(self, *, resume: bool) -> TrainReport:
        """Train the epochs that are left.

        Raises:
            CheckpointError: The file to go on from cannot be read or does not fit.
            OutputError: The folder cannot be written.
            TrainingError: Training diverged, or left no live stripe.

        """
        if resume and (found := self.folder.read(self.settings)):
            self._restore(*found)
            if self.ranks.rank == 0:
                self.folder.write_log(self.log)  # the run may have ended before it could
        for epoch in range(len(self.log), self.settings["epochs"]):
            self.log.append(self._epoch(epoch))
            if not any(self.log[-1]["live_stripes"].values()):
                raise TrainingError(
                    f"no stripe is left after epoch {epoch + 1}: sr {self.settings['sr']:g} and threshold "
                    f"{self.settings['threshold']:g} are too strong for this schedule; lower one"
                )
            if self.ranks.rank == 0:
                self.folder.write(self.network.state_dict(), self._state(), self.log)
        if self.ranks.rank == 0:
            self.folder.finish(self._trained_state())
        self.ranks.wait()
        return TrainReport(
            network=str(self.folder.network),
            log=TrainingLog(file=str(self.folder.log), epochs=tuple(self.log)),
            architecture=self.settings["arch"],
            threshold=self.settings["threshold"],
            stripes={name: layer.FilterSkeleton.numel() for name, layer in self.layers.items()},
        )

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch and return its record."""
        name = f"epoch {epoch + 1} of {self.settings['epochs']}"
        started = time.perf_counter()
        rate = self.schedule.get_last_lr()[0]
        seed_everything(self.settings["seed"], epoch + 1, self.ranks.rank)
        self.sampler.set_epoch(epoch)
        trained = self.trainer.train(
            self.batches, lambda part: self.progress(f"{name}: {part:.0%}", (epoch + part) / self.settings["epochs"])
        )
        self.schedule.step()
        tested = self.trainer.test(self.test_batches)
        live = {name: int((layer.FilterSkeleton != 0).sum()) for name, layer in self.layers.items()}
        return {
            "epoch": epoch + 1,
            "lr": rate,
            "loss": trained.loss,
            "accuracy": trained.accuracy,
            "test_loss": tested.loss,
            "test_accuracy": tested.accuracy,
            "live_stripes": live,
            "seconds": time.perf_counter() - started,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "optimizer": self.trainer.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.trainer.scaler.state_dict(),
        }

    def _restore(self, state: dict[str, torch.Tensor], training: dict[str, Any]) -> None:
        file = self.folder.checkpoint
        try:
            self.network.load_state_dict(state)
        except (AttributeError, RuntimeError, TypeError) as error:  # a user's own network, changed since
            raise CheckpointError(f"{file} does not fit {self.settings['arch']} any more") from error
        try:
            self.trainer.optimizer.load_state_dict(training["optimizer"])
            _require_momenta(self.trainer.optimizer)
            self.schedule.load_state_dict(training["schedule"])
            self.trainer.scaler.load_state_dict(training["scaler"])
            lines = [json.dumps(record) for record in training["log"]]
            self.log = [dict(record_from_line(file, number, line)) for number, line in enumerate(lines, start=1)]
        except (AttributeError, InputError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{file} is damaged: its record of the training is not one that `train` writes; begin anew with --force"
            ) from error

    def _trained_state(self) -> dict[str, torch.Tensor]:
        if self.settings["fine_tune"] is not None:
            for layer in self.layers.values():
                layer.break_(0)
        state: dict[str, torch.Tensor] = self.network.state_dict()
        return state


def seed_everything(seed: int, epoch: int, rank: int) -> None:
    """Seed all generators, for whatever a user's network or data set draws from."""
    number = int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the global generator is what others use
    torch.manual_seed(number)


def _require_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless each momentum is its parameter's: torch would find out in the first step."""
    for parameter, state in optimizer.state.items():
        if state["momentum_buffer"].shape != parameter.shape:
            raise ValueError("a momentum is not its parameter's")


def _memory_format(device: torch.device) -> torch.memory_format:
    """Return how activations and weights lie in memory: channels last on CUDA, plainly on the CPU.

    On the CPU torch 2.14 dies in the channels_last backward of a 1x1 convolution of stride 2 with 3 to 15 input
    channels, and its channels_last BatchNorm is a hundred times less exact in training. A network of a user's own may
    come in either layout, so that the plain one has to be asked for too.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format
