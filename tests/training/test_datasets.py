"""Data sets are found where they lie, and what is wrong with them is said in one line."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tiny_training import write_images

from swp_export.errors import InputError
from swp_export.training.datasets import DATASETS, load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def image_folder(root: Path, *, test: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write a folder of images, one a class."""
    for part, classes in (("train", ("cat", "dog")), ("val", test)):
        for shade, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            pixels = torch.full((3, 300, 280), 100 * shade, dtype=torch.uint8)
            torchvision.io.write_png(pixels, str(root / part / name / "0.png"))
    return root


def test_fashion_mnist(images: Path) -> None:
    """Grey images of 28x28 are padded to 32x32 and normalised; black is -mean / std."""
    data = load_dataset("fashion-mnist", images)
    assert (len(data.train), len(data.test), len(data.classes)) == (64, 33, 10)
    image, label = data.test[0]
    assert image.shape == data.input_shape == (1, 32, 32)
    assert image[0, 0, 0] == pytest.approx(-0.2860 / 0.3530)
    assert 0 <= label < 10
    raw = np.frombuffer((images / "FashionMNIST/raw/t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    pixels = torch.from_numpy(raw[: 28 * 28].reshape(28, 28) / 255)
    torch.testing.assert_close(image[0, 2:-2, 2:-2].double(), (pixels - 0.2860) / 0.3530, rtol=1e-5, atol=1e-5)


def test_grey_images_for_three_channels(images: Path) -> None:
    """They are repeated, and so is their normalisation."""
    grey, three = (load_dataset("fashion-mnist", images, channels=channels) for channels in (None, 3))
    assert three.input_shape == (3, 32, 32)
    assert three.normalisation == {"mean": [0.2860] * 3, "std": [0.3530] * 3}
    assert torch.equal(three.test[1][0], grey.test[1][0].expand(3, -1, -1))


def test_training_images_are_flipped_and_others_never(images: Path) -> None:
    """The images are their own mirror images, so a corner is marked first."""
    data = load_dataset("fashion-mnist", images)
    torch.manual_seed(0)
    for part, variants in ((data.train, 2), (data.test, 1)):
        part.data[0, 0, 0] = 255
        assert len({tuple(part[0][0][0, 2].tolist()) for _ in range(20)}) == variants


def test_a_folder_of_images(tmp_path: Path) -> None:
    """Classes are the names of folders; images have ImageNet's shape."""
    data = load_dataset("imagefolder", image_folder(tmp_path))
    assert data.classes == ("cat", "dog")
    for part in (data.train, data.test):
        assert [label for _, label in part] == [0, 1]
        assert part[0][0].shape == data.input_shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", r"cifar-10-batches-py/; put it there, or pass --download"),
        ("cifar100", r"cifar-100-python/; put it there, or pass --download"),
        ("fashion-mnist", r"FashionMNIST/raw/, the four idx files, unpacked; put it there, or pass --download"),
        ("imagefolder", r"train/ and val/, each with one folder of images per class"),
    ],
)
def test_absent_data(tmp_path: Path, name: str, expected: str) -> None:
    """The message says where what is expected; a user's own images cannot be downloaded."""
    with pytest.raises(
        InputError, match=rf"^{name} is not in .*, or is damaged( \(.*\))?; expected there: {expected}$"
    ):
        load_dataset(name, tmp_path)


def without_val(root: Path) -> None:
    """Leave out the images to test on."""
    (root / "train" / "cat").mkdir(parents=True)


def without_images(root: Path) -> None:
    """Leave a class empty."""
    for part in ("train", "val"):
        (root / part / "cat").mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(without_val, "Found no valid file"), (without_images, "Found no valid file for the classes cat")],
)
def test_half_a_folder_of_images(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    """What torchvision says in several ways is one, with its reason."""
    make(tmp_path)
    message = rf"^imagefolder is not in .*, or is damaged \({reason}.*\); expected there: train/ and val/"
    with pytest.raises(InputError, match=message) as caught:
        load_dataset("imagefolder", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image", None, "bomb"])
def test_an_image_that_cannot_be_read(tmp_path: Path, content: bytes | str | None) -> None:
    """Empty, something else, cut off, or so large that it would fill the memory: the message names the file."""
    file = image_folder(tmp_path) / "train" / "cat" / "0.png"
    whole = file.read_bytes()
    if content == "bomb":
        content = whole[:16] + struct.pack(">II", 100_000, 100_000) + whole[24:29]
        content += struct.pack(">I", zlib.crc32(content[12:])) + whole[33:]
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    data = load_dataset("imagefolder", tmp_path)
    with pytest.raises(InputError, match=r"0\.png is no image that can be read: .*; repair or remove it$") as caught:
        data.train[0]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16", "F"])
@pytest.mark.parametrize("size", [(1, 1), (3, 900)])
def test_images_of_other_modes_and_sizes(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    """They are made into the shape that the others have."""
    folder = image_folder(tmp_path)
    Image.new(mode, size).save(folder / "train" / "cat" / "0.tiff")
    data = load_dataset("imagefolder", folder)
    assert [image.shape for image, _ in data.train] == [(3, 224, 224)] * 3


@pytest.mark.parametrize("content", [b"", b"abc", b"\0\0\x08\x03\0\0\0\x40", b"not what it says" * 9])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A copy that was cut off, or another file."""
    write_images(tmp_path)
    (tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(
        InputError, match=r"^fashion-mnist is not in .*, or is damaged; expected there: FashionMNIST/raw/"
    ):
        load_dataset("fashion-mnist", tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (bytes([0] * 63 + [10]), "a label is not one of its 10 classes"),
        (bytes(63), "it holds 64 images and 63 labels"),
    ],
)
def test_labels_that_contradict(tmp_path: Path, labels: bytes, message: str) -> None:
    """It is said before training, not in the middle of it."""
    raw = write_images(tmp_path) / "FashionMNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels)
    with pytest.raises(InputError, match=rf"^fashion-mnist in .* is damaged: {message}$"):
        load_dataset("fashion-mnist", tmp_path)


def test_classes_that_differ(tmp_path: Path) -> None:
    """Labels are positions among the folders, so the same number may mean another class."""
    with pytest.raises(
        InputError, match=r"the classes in .* differ: \['cat', 'dog'\] to train on, \['cat', 'eel'\] to"
    ):
        load_dataset("imagefolder", image_folder(tmp_path, test=("cat", "eel")))


def test_a_users_images_cannot_be_downloaded(tmp_path: Path) -> None:
    """They are nowhere else."""
    with pytest.raises(InputError, match=r"cannot be downloaded; leave out --download"):
        load_dataset("imagefolder", image_folder(tmp_path), download=True)


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is torchvision's first line."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no network\nat all")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fail)
    with pytest.raises(
        InputError, match=r"^cifar10 could not be downloaded to .* \(no network\); expected there: cifar"
    ):
        load_dataset("cifar10", tmp_path, download=True)


def test_an_unknown_name(tmp_path: Path) -> None:
    """The known ones are listed."""
    with pytest.raises(InputError, match=rf"^there is no data set 'mnist'; known are {', '.join(DATASETS)}$"):
        load_dataset("mnist", tmp_path)
