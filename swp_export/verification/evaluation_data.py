"""What accuracy is measured on: the samples of an .npz file, or the test images of a data set that `train` knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.graph.input_shape import image_shape
from swp_export.graph.metadata import CLASS_NAMES, NORMALISATION
from swp_export.graph.preprocessing import Normalisation, class_names_of, encode_class_names, normalisation_of
from swp_export.printable import printable
from swp_export.verification.cases import Case
from swp_export.verification.feeds import channels_last
from swp_export.verification.samples import part_of, read_labels, read_samples, samples_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape

    Labels = npt.NDArray[np.int64]
    Batch = tuple[Case, Labels | None]

SAMPLES = 64
"""At most so many are verified on; the first ones."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationData:
    """Samples, with their labels if there are any.

    Attributes:
        name: what they are.
        samples: how many.
        labelled: whether there are labels.
        classes: how many a data set has; None of a file.
        metadata: what a data set says of preprocessing and classes, as a model's metadata does.
        part: returns the samples from one number to before another, and their labels: int64, `[N]`, or as the network
            gives classes, `[N, ...]`.

    """

    name: str
    samples: int
    labelled: bool
    part: Callable[[int, int], Batch]
    classes: int | None = None
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def first(self) -> Case:
        """Return the first SAMPLES as a case of the user's own to verify on."""
        case, _ = self.part(0, min(SAMPLES, self.samples))
        which = "" if self.samples <= SAMPLES else f"first {SAMPLES} of {self.samples} "
        return dataclasses.replace(case, name=f"{which}{case.name}", is_usual=True, is_of_user=True)

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
    metadata: Mapping[str, str] | None = None,
    train: bool = False,
) -> EvaluationData | None:
    """Return what accuracy is to be measured on, None where nothing is named.

    Args:
        data: an .npz file as `read_samples` takes it, with `labels` `[N]`, the numbers of the classes, or without.
        dataset: a key of `swp_export.training.datasets.DATASETS`, whose test images are taken.
        data_path: the folder of the data set.
        input_shape: `(C, H, W)` of the network, or of each input by name.
        metadata: of the network: images of a data set, and images that are bytes, are normalised as it says; the
            classes of a data set must be those that it names.
        train: take the images of a data set that are there to train on, augmented, in place of those to test on.

    Raises:
        ModelError: the metadata is damaged.
        InputError: both are named, one cannot be read, or does not fit.

    """
    if data is not None and dataset is not None:
        raise InputError("--data and --dataset each say what accuracy is measured on: pass one of them")
    metadata = metadata or {}
    normalisation = normalisation_of(metadata)
    if data is not None:
        return _from_file(data, input_shape, normalisation)
    if dataset is None:
        return None
    names = class_names_of(metadata)
    return _from_dataset(dataset, data_path, input_shape, normalisation, names, train=train)


def training_images(
    dataset: str | None, data_path: str | Path, input_shape: InputShape, metadata: Mapping[str, str]
) -> EvaluationData | None:
    """Return what `dataset` has to train on, to calibrate on; None where there is no data set."""
    return read_evaluation_data(
        dataset=dataset, data_path=data_path, input_shape=input_shape, metadata=metadata, train=True
    )


def _from_file(path: str | Path, input_shape: InputShape, normalisation: Normalisation | None) -> EvaluationData:
    case = read_samples(path, input_shape, normalisation)
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


def _from_dataset(
    name: str,
    folder: str | Path,
    input_shape: InputShape,
    normalisation: Normalisation | None,
    classes: tuple[str, ...] | None,
    *,
    train: bool,
) -> EvaluationData:
    from swp_export.training.datasets import load_dataset

    shape = image_shape(input_shape, "--dataset")
    assert shape is not None
    axis = -1 if channels_last(shape) else 0
    images = load_dataset(name, folder, channels=shape[axis])
    if images.input_shape[0] != shape[axis]:
        raise InputError(f"{name} has images of {images.input_shape[0]} channels, the network takes {shape[axis]}")
    if classes is not None and classes != images.classes:
        raise InputError(
            f"the network tells {_listed(classes)} apart, {name} in {folder} has {_listed(images.classes)}: expected "
            "the same classes in the same order"
        )
    own = Normalisation.parsed(images.normalisation)
    assert own is not None
    wanted = normalisation or own
    chosen, kind = (images.train, "training") if train else (images.test, "test")

    def part(start: int, stop: int) -> Batch:
        pairs = [chosen[number] for number in range(start, stop)]
        x = wanted.from_other(own, np.stack([np.asarray(image, np.float32) for image, _ in pairs]))
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1) if axis else x)
        return Case(name=f"{kind} images of {name}", x=x), np.array([label for _, label in pairs], np.int64)

    count = len(chosen)
    return EvaluationData(
        name=f"{count:,} {kind} images of {name}",
        samples=count,
        labelled=True,
        part=part,
        classes=len(images.classes),
        metadata={NORMALISATION: own.to_text(), CLASS_NAMES: encode_class_names(images.classes)},
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(printable, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
