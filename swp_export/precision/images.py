"""The user's images, to calibrate on and to measure accuracy on."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.npz import read_array

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from swp_export.runtime.session import Array

_DAMAGED = (ValueError, EOFError, TypeError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
CALIBRATION = 128
"""Images that ranges are found on, the first ones: more move them little, and take longer."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images, and what they show.

    Attributes:
        images: float32 `[N, C, H, W]`, normalised as in training.
        labels: int64 `[N]`, None where they are not known.
        name: of the file.

    """

    images: Array
    labels: npt.NDArray[np.int64] | None
    name: str

    @property
    def calibration(self) -> Array:
        """The images that ranges are found on."""
        return self.images[:CALIBRATION]


def read_images(path: str | Path, input_shape: tuple[int, ...]) -> Images:
    """Read `images` and, if they are there, `labels` of an .npz file.

    Raises:
        InputError: it cannot be read, or does not fit `input_shape`, `(C, H, W)`.

    """
    wanted = f"--data wants an .npz file with 'images' [N, {', '.join(map(str, input_shape))}]"
    try:
        names, images = read_array(path, "images")
        _, labels = read_array(path, "labels")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; {wanted}") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is no .npz file; {wanted}") from error
    if images is None:
        raise InputError(f"{path} has no array 'images', it has: {', '.join(names[:20]) or 'nothing'}; {wanted}")
    channels, *size = input_shape
    if images.ndim != 4 or images.shape[1] not in {1, channels} or [*images.shape[2:]] != size or not len(images):
        raise InputError(f"'images' in {path} is {list(images.shape)}; {wanted}")
    if images.dtype.kind not in "fiu" or not np.isfinite(images).all():
        raise InputError(f"'images' in {path} are {images.dtype} with NaN or infinite values, or no numbers; {wanted}")
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != (len(images),)):
        raise InputError(f"'labels' in {path} are {labels.dtype} {list(labels.shape)}, expected {len(images)} integers")
    repeated = np.repeat(images.astype(np.float32), channels // images.shape[1], axis=1)
    return Images(images=repeated, labels=None if labels is None else labels.astype(np.int64), name=str(path))


def noise_images(input_shape: tuple[int, ...]) -> Images:
    """Return a few images of noise, for what does not depend on what images show."""
    noise = np.random.default_rng(0).standard_normal((8, *input_shape), np.float32)
    return Images(images=noise, labels=None, name="noise")
