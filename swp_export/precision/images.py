"""The user's images, to calibrate on and to measure accuracy on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from swp_export.runtime.session import Array

CALIBRATION = 128
"""Images that ranges are found on, the first ones: more move them little, and take longer."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images, and what they show.

    Attributes:
        images: float32 `[N, C, H, W]`, normalised as in training.
        labels: int64 `[N]`, None where they are not known.
        name: what they are.
        training: other images to calibrate on.

    """

    images: Array
    labels: npt.NDArray[np.int64] | None
    name: str
    training: Array | None = None

    @property
    def calibration(self) -> Array:
        """The images that ranges are found on."""
        return (self.images if self.training is None else self.training)[:CALIBRATION]


def noise_images(input_shape: tuple[int, ...]) -> Images:
    """Return a few images of noise, for what does not depend on what images show."""
    noise = np.random.default_rng(0).standard_normal((8, *input_shape), np.float32)
    return Images(images=noise, labels=None, name="noise")
