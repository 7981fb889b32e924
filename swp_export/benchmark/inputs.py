"""The inputs that a model is measured on: of its own shapes, seeded noise or the user's samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.verification.feeds import Feeds, main_of
from swp_export.verification.inputs import as_taken
from swp_export.verification.samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Array, Session

    Named = dict[str, Array]


def noise(session: Session, shape: Sequence[int], *, seed: int = 0) -> Named:
    """Return noise of `shape`, batch included, for the only input of the model; see `noise_of`."""
    return noise_of(session, tuple(shape[1:]), shape[0], seed=seed)


def noise_of(session: Session, input_shape: InputShape, batch: int, *, seed: int = 0) -> Named:
    """Return `batch` samples of noise for each input of the model, by name, in its dtype; `seed` decides the values.

    It is normal for floats, pixels for bytes, 0 and 1 for other integers and booleans: what every table of rows has.

    Raises:
        InputError: The model runs in batches of another size only.

    """
    _require_batch(session, batch)
    rng = np.random.default_rng(seed)
    feeds = Feeds(input_shape, session.inputs, rng)
    return session.named(feeds.make(batch, lambda shape: rng.standard_normal(shape, dtype=np.float32)))


def samples_of(session: Session, input_shape: InputShape, batch: int, path: str | Path) -> Named:
    """Return the first `batch` samples of the .npz file `path`, over again where it has fewer.

    Raises:
        InputError: The file cannot be read, does not have what the model takes, or as `noise_of`.

    """
    _require_batch(session, batch)
    case = as_taken(read_samples(path, input_shape), session.inputs)
    fed = session.named(case.x)
    return {
        name: array if name in case.unbatched else array[np.arange(batch) % len(array)] for name, array in fed.items()
    }


def shape_of(feeds: Named) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    """Return the shape of an only input, or of each of several by name."""
    shapes = {name: array.shape for name, array in feeds.items()}
    return shapes if len(shapes) > 1 else next(iter(shapes.values()))


def _require_batch(session: Session, batch: int) -> None:
    shape = main_of(session.inputs).shape
    fixed = shape[0] if shape else None
    if isinstance(fixed, int) and fixed != batch:
        raise InputError(f"{session.label} has a fixed batch of {fixed}, asked for {batch}; pass --batch {fixed}")
