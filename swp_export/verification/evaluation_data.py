"""What accuracy is measured on: the samples of an .npz file, or the test images of a data set that `train` knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.graph.input_shape import image_shape
from swp_export.verification.cases import Case
from swp_export.verification.feeds import channels_last
from swp_export.verification.samples import part_of, read_all_samples, read_labels, samples_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape
    from swp_export.training.datasets import ImageData

    Labels = npt.NDArray[np.int64]
    Batch = tuple[Case, Labels | None]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationData:
    """Samples, with their labels if there are any.

    Attributes:
        name: what they are.
        samples: how many.
        labelled: whether there are labels.
        part: returns the samples from one number to before another, and their labels: int64, `[N]`, or as the network
            gives classes, `[N, ...]`.

    """

    name: str
    samples: int
    labelled: bool
    part: Callable[[int, int], Batch]

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all samples, `size` at a time."""
        for start in range(0, self.samples, size):
            yield self.part(start, min(start + size, self.samples))


def read_evaluation_data(
    *,
    data: str | Path | None = None,
    dataset: str | None = None,
    data_path: str | Path = "data",
    input_shape: InputShape,
) -> EvaluationData | None:
    """Return what accuracy is to be measured on, None where nothing is named.

    Args:
        data: an .npz file as `read_all_samples` takes it, with `labels` `[N]`, the numbers of the classes, or without.
        dataset: a key of `swp_export.training.datasets.DATASETS`, whose test images are taken.
        data_path: the folder of the data set.
        input_shape: `(C, H, W)` of the network, or of each input by name.

    Raises:
        InputError: both are named, one cannot be read, or does not fit.

    """
    if data is not None and dataset is not None:
        raise InputError("--data and --dataset each say what accuracy is measured on: pass one of them")
    if data is not None:
        return _from_file(data, input_shape)
    return None if dataset is None else _from_dataset(dataset, data_path, input_shape)


def _from_file(path: str | Path, input_shape: InputShape) -> EvaluationData:
    case = read_all_samples(path, input_shape)
    count = samples_in(case)
    is_input = isinstance(input_shape, Mapping) and "labels" in input_shape
    labels = None if is_input else _whole(path, count)
    return EvaluationData(
        name=f"{count:,} {case.name}",
        samples=count,
        labelled=labels is not None,
        part=lambda start, stop: (part_of(case, start, stop), None if labels is None else labels[start:stop]),
    )


def _whole(path: str | Path, count: int) -> Labels | None:
    """Return the labels of an .npz file of `count` samples, if it has any."""
    found = read_labels(path)
    if found is None:
        return None
    fits = found.ndim >= 1 and len(found) == count and found.dtype.kind in "iufb"
    with np.errstate(invalid="ignore"):
        labels: Labels = found.astype(np.int64) if fits else np.zeros(0, np.int64)
    if not fits or not np.array_equal(labels, found) or labels.min(initial=0) < 0:
        raise InputError(
            f"'labels' in {path} is {found.dtype} {list(found.shape)}; expected {count} numbers of classes, from 0 on, "
            "one for each image: leave them out to count changed predictions alone"
        )
    return labels


def _from_dataset(name: str, folder: str | Path, input_shape: InputShape) -> EvaluationData:
    from swp_export.training.datasets import load_dataset

    shape = image_shape(input_shape, "--dataset")
    assert shape is not None
    last = channels_last(shape)
    channels = shape[2] if last else shape[0]
    images = load_dataset(name, folder, channels=channels)
    if images.input_shape[0] != channels:
        raise InputError(f"{name} has images of {images.input_shape[0]} channels, the network takes {channels}")
    count = len(images.test)
    return EvaluationData(
        name=f"{count:,} test images of {name}",
        samples=count,
        labelled=True,
        part=lambda start, stop: _of_dataset(images, name, last=last, numbers=range(start, stop)),
    )


def _of_dataset(images: ImageData, name: str, *, last: bool, numbers: range) -> Batch:
    pairs = [images.test[number] for number in numbers]
    x = np.stack([np.asarray(image, np.float32) for image, _ in pairs])
    x = np.moveaxis(x, 1, -1) if last else x
    return Case(name=f"test images of {name}", x=np.ascontiguousarray(x)), np.array([label for _, label in pairs])
