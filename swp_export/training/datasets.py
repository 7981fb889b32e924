"""The data sets that can be trained on, all through torchvision, which knows how they lie on disk."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swp_export.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
    input_shape: tuple[int, int, int]
    mean: list[float]
    std: list[float]
    where: str
    open: Callable[[Path, bool, Any, bool], Any]
    """(folder, train, transform, download) -> torchvision's data set."""


def _cifar(name: str, folder: str, mean: list[float], std: list[float]) -> _Kind:
    def open_(root: Path, train: bool, transform: Any, download: bool) -> Any:  # noqa: FBT001 - one private call
        import torchvision

        return getattr(torchvision.datasets, name)(root, train=train, transform=transform, download=download)

    return _Kind(input_shape=(3, 32, 32), mean=mean, std=std, where=folder, open=open_)


def _fashion_mnist(root: Path, train: bool, transform: Any, download: bool) -> Any:  # noqa: FBT001 - as above
    import torchvision

    return torchvision.datasets.FashionMNIST(root, train=train, transform=transform, download=download)


def _image_folder(root: Path, train: bool, transform: Any, download: bool) -> Any:  # noqa: FBT001 - as above
    import torchvision

    if download:
        raise InputError("a folder of images is yours and cannot be downloaded; leave out --download")
    return torchvision.datasets.ImageFolder(root / ("train" if train else "val"), transform)


_CIFAR_MEAN, _CIFAR_STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
"""What the method's public code normalises both CIFARs by."""

DATASETS: Mapping[str, _Kind] = {
    "cifar10": _cifar("CIFAR10", "cifar-10-batches-py/", _CIFAR_MEAN, _CIFAR_STD),
    "cifar100": _cifar("CIFAR100", "cifar-100-python/", _CIFAR_MEAN, _CIFAR_STD),
    "fashion-mnist": _Kind(
        input_shape=(1, 32, 32),
        mean=[0.2860],
        std=[0.3530],
        where="FashionMNIST/raw/, the four idx files, unpacked",
        open=_fashion_mnist,
    ),
    "imagefolder": _Kind(
        input_shape=(3, 224, 224),
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
        where="train/ and val/, each with one folder of images per class",
        open=_image_folder,
    ),
}
"""Data sets by name; folders of images are normalised as ImageNet is."""


def load_dataset(name: str, folder: str | Path, *, download: bool = False, channels: int | None = None) -> ImageData:
    """Open the data set called `name`, a key of `DATASETS`, below `folder`; grey images are repeated to `channels`.

    Raises:
        InputError: No such data set, or it does not lie there and is not to be downloaded, or cannot be.

    """
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}; known are {', '.join(DATASETS)}")
    kind, folder = DATASETS[name], Path(folder)
    if channels and kind.input_shape[0] == 1:
        shape, mean, std = (channels, *kind.input_shape[1:]), kind.mean * channels, kind.std * channels
        kind = dataclasses.replace(kind, input_shape=shape, mean=mean, std=std)
    try:
        train, test = (kind.open(folder, part, _transform(name, kind, part), download) for part in (True, False))
    except (RuntimeError, OSError) as error:  # torchvision: "not found or corrupted"; a network that is not there
        expected = f"expected there: {kind.where}"
        if download:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"{name} could not be downloaded to {folder} ({reason}); {expected}") from error
        advice = "" if name == "imagefolder" else "; put it there, or pass --download"
        raise InputError(f"{name} is not in {folder}, or is damaged; {expected}{advice}") from error
    if train.classes != test.classes:
        raise InputError(f"the classes in {folder} differ: {train.classes} to train on, {test.classes} to test on")
    return ImageData(
        train=train,
        test=test,
        classes=tuple(train.classes),
        input_shape=kind.input_shape,
        normalisation={"mean": kind.mean, "std": kind.std},
    )


def _transform(name: str, kind: _Kind, train: bool) -> Any:  # noqa: FBT001 - as above
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
