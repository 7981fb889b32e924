"""Training a network with Filter Skeletons: `swp_export.train`."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, Subset

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct, run_without_data
from swp_export.checkpoint import read_checkpoint
from swp_export.errors import CheckpointError, InputError, TrainingError
from swp_export.network.instantiate import instantiate
from swp_export.nn import FilterStripe, SkeletonUpdate, freeze_skeletons
from swp_export.training.datasets import load_dataset
from swp_export.training.epoch import Trainer
from swp_export.training.log import TrainingLog, record_from_line
from swp_export.training.ranks import join_ranks
from swp_export.training.report import TrainReport
from swp_export.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from swp_export.checkpoint import Checkpoint
    from swp_export.training.datasets import ImageData
    from swp_export.training.ranks import Ranks

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
DECAYS_AT = (0.5, 0.75)
"""Fractions of the epochs after which the learning rate is divided by 10."""


def train(
    *,
    save: str | Path,
    dataset: str,
    arch: str | None = None,
    data_path: str | Path = "data",
    sr: float = 1e-5,
    threshold: float = 0.01,
    epochs: int = 160,
    batch_size: int = 64,
    lr: float = 0.1,
    seed: int = 0,
    device: str = "cpu",
    amp: bool = False,
    workers: int = 0,
    download: bool = False,
    resume: bool = False,
    fine_tune: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> TrainReport:
    """Train a network with Filter Skeletons, as the method does; see `swp_export.nn.SkeletonUpdate`.

    SGD with momentum 0.9 and weight decay 1e-4; the rate is divided by 10 after half and three quarters of the epochs.
    Under `torchrun` the processes share each batch. On the CPU a run that is resumed by as many processes, with as many
    workers, ends bit for bit as one that was never interrupted: an epoch's random numbers follow from seed, epoch and
    process alone.

    Args:
        save: Folder for `checkpoint.pth` and `log.jsonl`, after every epoch, and `network.pth`, at the end.
        dataset: A key of `swp_export.training.datasets.DATASETS`.
        arch: A name or `package.module:factory`; may be left out with `fine_tune`, if that file says it.
        data_path: Folder of the data.
        sr: Strength of the L1 penalty on the skeletons. 0, with threshold 0, trains without pruning.
        threshold: A stripe whose skeleton falls to it or below is dead from then on.
        epochs: Passes over the data.
        batch_size: Images per step, of all processes together.
        lr: Learning rate at first.
        seed: Of all random numbers.
        device: cpu or cuda, and no other one.
        amp: Automatic mixed precision.
        workers: Processes that load images; 0 loads them in this one.
        download: Download the data if they are not there.
        resume: Go on after the last whole epoch of the run in `save`; begin if there is none.
        fine_tune: A pruned checkpoint, or one to prune at its recorded threshold, else at `threshold`: its skeletons
            are frozen and its weights trained further. `network.pth` is then broken into stripes.
        force: Overwrite the run in `save`.
        progress: Is told what is being done.

    Raises:
        InputError: The data are not there, or do not fit.
        ArchitectureError: The architecture is unknown or does not take the data.
        CheckpointError: The file to go on from cannot be read or does not fit.
        DeviceError: There is no CUDA device.
        OutputError: The folder holds a run already, or cannot be written.
        TrainingError: Training diverged, or left no live stripe.

    """
    ranks = join_ranks(device)
    if batch_size % ranks.size:
        raise InputError(f"batches of {batch_size} images cannot be shared by {ranks.size} processes evenly")
    pruned = None if fine_tune is None else read_checkpoint(fine_tune)
    settings: dict[str, object] = {
        "dataset": dataset,
        "sr": sr,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "amp": amp,
        "fine_tune": None if pruned is None else pruned.sha256,
    }
    if download:
        ranks.first_alone(lambda: load_dataset(dataset, data_path, download=True))
    data = load_dataset(dataset, data_path, channels=None if pruned is None else _input_channels(pruned))
    _seed_everything(seed, 0, 0)
    if pruned is None:
        network, architecture = _new_network(arch, data)
    else:
        network, architecture, threshold = _pruned_network(pruned, arch, threshold, data)
    settings |= {"arch": architecture, "threshold": threshold}
    folder = RunFolder(
        path=Path(save),
        description={
            "architecture": architecture,
            "threshold": threshold,
            "input_shape": data.input_shape,
            "normalisation": data.normalisation,
            "class_names": data.classes,
        },
    )
    run = _Run(network, data, folder, ranks, settings, workers, progress)
    ranks.first_alone(lambda: folder.prepare(resume=resume, force=force))
    return run.complete(resume=resume)


class _Run:
    """A network in training, and all that changes with it."""

    def __init__(
        self,
        network: nn.Module,
        data: ImageData,
        folder: RunFolder,
        ranks: Ranks,
        settings: dict[str, Any],
        workers: int,
        progress: Callable[[str], None],
    ) -> None:
        self.network = network.to(ranks.device, memory_format=_layout(ranks.device))  # type: ignore[call-overload]
        self.folder, self.ranks, self.settings = folder, ranks, settings
        self.progress = progress if ranks.rank == 0 else lambda _: None
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
        """Train the epochs that are left."""
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
        _seed_everything(self.settings["seed"], epoch + 1, self.ranks.rank)
        self.sampler.set_epoch(epoch)
        trained = self.trainer.train(self.batches, lambda fraction: self.progress(f"{name}: {fraction:.0%}"))
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


def _require_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless each momentum is its parameter's: torch would find out in the first step."""
    for parameter, state in optimizer.state.items():
        if state["momentum_buffer"].shape != parameter.shape:
            raise ValueError("a momentum is not its parameter's")


def _layout(device: torch.device) -> torch.memory_format:
    """Return how activations and weights lie in memory: channels last on CUDA, plainly on the CPU.

    On the CPU torch 2.14 dies in the channels_last backward of a 1x1 convolution of stride 2 with 3 to 15 input
    channels, and its channels_last BatchNorm is a hundred times less exact in training. A network of a user's own may
    come in either layout, so that the plain one has to be asked for too.
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _new_network(arch: str | None, data: ImageData) -> tuple[nn.Module, str]:
    if arch is None:
        raise InputError("which network is to be trained? Name it with --arch, VGG16 for example")
    architecture = resolve_architecture(arch)
    network = construct(architecture, len(data.classes), data.input_shape[0], with_data=True)
    output = run_without_data(network.eval(), data.input_shape, architecture)
    _require_classes(tuple(output.shape), data, architecture.name)
    return network, architecture.name


def _pruned_network(
    checkpoint: Checkpoint, arch: str | None, threshold: float, data: ImageData
) -> tuple[nn.Module, str, float]:
    recorded = not checkpoint.layout.takes_threshold or checkpoint.threshold is not None
    network = instantiate(
        checkpoint, threshold=None if recorded else threshold, architecture=arch, input_shape=data.input_shape
    )
    _require_classes((1, network.num_classes), data, network.architecture)
    for parameter in network.module.parameters():
        parameter.data = parameter.data.clone()  # some are the checkpoint's own
        parameter.requires_grad_(True)  # noqa: FBT003 - torch's own signature
    freeze_skeletons(network.module)
    # Where the file holds masks, the skeletons are 0 and 1 whatever its threshold was.
    return network.module, network.architecture, network.threshold or 0.0


def _input_channels(checkpoint: Checkpoint) -> int:
    """Return what the first convolution takes: the method's networks for grey images take three channels."""
    return checkpoint.state[f"{next(iter(checkpoint.skeletons))}.weight"].shape[1]


def _require_classes(shape: tuple[int | None, ...], data: ImageData, name: str) -> None:
    if shape != (1, len(data.classes)):
        raise InputError(
            f"{name} returns {list(shape)} for one image, expected [1, {len(data.classes)}]: one number per class"
        )


def _seed_everything(seed: int, epoch: int, rank: int) -> None:
    """Seed all generators, for whatever a user's network or data set draws from."""
    number = int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the global generator is what others use
    torch.manual_seed(number)
