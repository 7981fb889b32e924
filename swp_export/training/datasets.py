"""The data sets that can be trained on, all through torchvision, which knows how they lie on disk."""

from __future__ import annotations

import dataclasses
import io
import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageData:
    """Images to train and to test on.

    Attributes:
        train: Maps an index to (image, label), augmented: float `[C, H, W]`, normalised, and int.
        test: The same without augmentation.
        classes: Their names, in the order of the labels.
        input_shape: `(C, H, W)`.
        normalisation: `{"mean": [...], "std": [...]}`, per channel; pixel values are 0 to 1 before it.

    """

    train: Any
    test: Any
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    normalisation: Mapping[str, list[float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Kind:
    """What torchvision calls a data set, what must lie in its folder, and what its images are made into."""

    torchvision: str
    where: str
    input_shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]


_CIFAR10 = _Kind(
    torchvision="CIFAR10",
    where="cifar-10-batches-py/",
    input_shape=(3, 32, 32),
    mean=[0.4914, 0.4822, 0.4465],
    std=[0.2023, 0.1994, 0.2010],
)
"""Both CIFARs are normalised as the method's public code does it."""

DATASETS: Mapping[str, _Kind] = {
    "cifar10": _CIFAR10,
    "cifar100": dataclasses.replace(_CIFAR10, torchvision="CIFAR100", where="cifar-100-python/"),
    "fashion-mnist": _Kind(
        torchvision="FashionMNIST",
        where="FashionMNIST/raw/, the four idx files, unpacked",
        input_shape=(1, 32, 32),
        mean=[0.2860],
        std=[0.3530],
    ),
    "imagefolder": _Kind(
        torchvision="ImageFolder",
        where="train/ and val/, each with one folder of images per class",
        input_shape=(3, 224, 224),
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    ),
}
"""Data sets by name; folders of images are normalised as ImageNet is."""


def load_dataset(name: str, folder: str | Path, *, download: bool = False, channels: int | None = None) -> ImageData:
    """Open the data set called `name`, a key of `DATASETS`, below `folder`; grey images are repeated to `channels`.

    Raises:
        InputError: No such data set, or it does not lie there and is not to be downloaded, or cannot be, or its files
            contradict each other. An image that cannot be read raises it when it is its turn.

    """
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}; known are {', '.join(DATASETS)}")
    kind, folder = DATASETS[name], Path(folder)
    if download and name == "imagefolder":
        raise InputError("a folder of images is yours and cannot be downloaded; leave out --download")
    if channels and kind.input_shape[0] == 1:
        shape, mean, std = (channels, *kind.input_shape[1:]), kind.mean * channels, kind.std * channels
        kind = dataclasses.replace(kind, input_shape=shape, mean=mean, std=std)
    try:
        train, test = (_open(name, kind, folder, train=part, download=download) for part in (True, False))
    except _DAMAGED as error:
        expected = f"expected there: {kind.where}"
        if download:
            raise InputError(f"{name} could not be downloaded to {folder} ({_reason(error)}); {expected}") from error
        advice = "" if name == "imagefolder" else "; put it there, or pass --download"
        found = f" ({_reason(error)})" if name == "imagefolder" else ""
        raise InputError(f"{name} is not in {folder}, or is damaged{found}; {expected}{advice}") from error
    for part in (train, test):
        _require_whole(part, name, folder)
    if train.classes != test.classes:
        raise InputError(f"the classes in {folder} differ: {train.classes} to train on, {test.classes} to test on")
    return ImageData(
        train=train,
        test=test,
        classes=tuple(train.classes),
        input_shape=kind.input_shape,
        normalisation={"mean": kind.mean, "std": kind.std},
    )


_DAMAGED = (RuntimeError, OSError, ValueError, AssertionError, LookupError, TypeError, EOFError, pickle.UnpicklingError)
"""What torchvision raises where files are not there, or hold something else."""
_MOST_PIXELS = 50_000_000


def _require_whole(part: Any, name: str, folder: Path) -> None:
    """Raise InputError unless there is an image, and a label for each, of a class that there is."""
    labels = np.asarray(part.targets)
    images = len(part.data) if hasattr(part, "data") else len(labels)
    if not images or images != len(labels):
        raise InputError(f"{name} in {folder} is damaged: it holds {images} images and {len(labels)} labels")
    if not 0 <= labels.min() <= labels.max() < len(part.classes):
        raise InputError(f"{name} in {folder} is damaged: a label is not one of its {len(part.classes)} classes")


def _read_image(path: str) -> Any:
    """Return the image in the file `path` as RGB; what its header declares is checked before it is unpacked.

    Raises:
        InputError: It is damaged, no image, or too large.

    """
    from PIL import Image

    try:
        with io.BytesIO(read_bytes(path)) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the image, which is read or refused
            with Image.open(file) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise InputError(f"{path} is an image of {image.width}x{image.height}, expected a smaller one")
                return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no image that can be read: {_reason(error)}; repair or remove it") from error


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _open(name: str, kind: _Kind, folder: Path, *, train: bool, download: bool) -> Any:
    from torchvision import datasets

    opened, transform = getattr(datasets, kind.torchvision), _transform(name, kind, train=train)
    if name == "imagefolder":
        return opened(folder / ("train" if train else "val"), transform, loader=_read_image)
    return opened(folder, train=train, transform=transform, download=download)


def _transform(name: str, kind: _Kind, *, train: bool) -> Any:
    from torchvision import transforms

    size = kind.input_shape[-1]
    steps: list[Any] = []
    if name == "imagefolder":
        steps = [transforms.RandomResizedCrop(size)] if train else [transforms.Resize(256), transforms.CenterCrop(size)]
    elif name == "fashion-mnist":
        steps = [transforms.Pad(2)]  # 28x28 to what the networks for small images take
    elif train:
        steps = [transforms.RandomCrop(size, padding=4)]
    if train:
        steps.append(transforms.RandomHorizontalFlip())
    steps.append(transforms.ToTensor())
    if name == "fashion-mnist":
        steps.append(partial(_with_channels, kind.input_shape[0]))
    return transforms.Compose([*steps, transforms.Normalize(kind.mean, kind.std)])


def _with_channels(channels: int, image: Any) -> Any:
    return image.expand(channels, -1, -1)
