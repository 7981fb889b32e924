"""Training a network with Filter Skeletons: `swp_export.train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.architectures import resolve_architecture
from swp_export.architectures.fitting import construct, run_without_data
from swp_export.checkpoint import read_checkpoint
from swp_export.errors import ArchitectureError, InputError
from swp_export.network.instantiate import instantiate
from swp_export.nn import FilterStripe, convert, freeze_skeletons
from swp_export.progress import silent
from swp_export.training.datasets import load_dataset
from swp_export.training.ranks import join_ranks
from swp_export.training.run import Run, seed_everything
from swp_export.training.run_folder import RunFolder

if TYPE_CHECKING:
    from torch import nn

    from swp_export.checkpoint import Checkpoint
    from swp_export.progress import Progress
    from swp_export.training.datasets import ImageData
    from swp_export.training.report import TrainReport


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
    progress: Progress = silent,
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
    seed_everything(seed, 0, 0)
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
    run = Run(network, data, folder, ranks, settings, workers, progress)
    ranks.first_alone(lambda: folder.prepare(resume=resume, force=force))
    return run.complete(resume=resume)


def _new_network(arch: str | None, data: ImageData) -> tuple[nn.Module, str]:
    if arch is None:
        raise InputError("which network is to be trained? Name it with --arch, VGG16 for example")
    architecture = resolve_architecture(arch)
    network = construct(architecture, len(data.classes), data.input_shape[0], with_data=True)
    if not any(isinstance(layer, FilterStripe) for layer in network.modules()):
        network = _converted(network, arch)
    output = run_without_data(network.eval(), data.input_shape, architecture)
    _require_classes(tuple(output.shape), data, architecture.name)
    return network, architecture.name


def _converted(network: nn.Module, arch: str) -> nn.Module:
    """Return a network of plain convolutions with Filter Skeletons."""
    try:
        return convert(network)
    except ValueError as error:
        raise ArchitectureError(f"{arch}: {error}") from error


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
