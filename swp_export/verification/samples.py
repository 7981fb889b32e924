"""The user's own samples, as one more case."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.npz import read_array
from swp_export.verification.cases import Case
from swp_export.verification.feeds import channels_last

if TYPE_CHECKING:
    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape
    from swp_export.graph.preprocessing import Normalisation
    from swp_export.runtime.session import Array, Feed

_DAMAGED = (ValueError, EOFError, TypeError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_samples(path: str | Path, input_shape: InputShape, normalisation: Normalisation | None = None) -> Case:
    """Return the user's own samples as a case.

    Args:
        path: an .npz file with float32 `images` `[N, C, H, W]`, normalised as in training. One channel is repeated to
            the network's three. Of a network with several inputs: an array for each, by its name.
        input_shape: `(C, H, W)` of the network, or of each input by name; H and W of the samples may differ from it.
        normalisation: of the network, applied to `images` that are bytes.

    Raises:
        InputError: the file cannot be read, or holds no such array.

    """
    if not isinstance(input_shape, Mapping):
        return _sample_case(path, _images(path, _array(path, "images", "[N, C, H, W]"), input_shape, normalisation))
    arrays = {}
    for name, sizes in input_shape.items():
        array = _array(path, name, f"[N, {', '.join(map(str, sizes))}]")
        if array.dtype.kind not in "fiub" or array.ndim > 1 + len(sizes) or (array.ndim and not array.size):
            raise InputError(
                f"{name!r} in {path} is {array.dtype} {list(array.shape)}; the network wants {list(sizes)}"
            )
        arrays[name] = _finite(array.astype(np.float32), path, name) if array.dtype.kind == "f" else array
    return _sample_case(path, arrays)


def read_labels(path: str | Path) -> npt.NDArray[Any] | None:
    """Return the array `labels` of an .npz file, None if it has none; the errors are those of `read_samples`."""
    return _found(path, "labels", "an array 'labels' [N]")[1]


def samples_in(case: Case) -> int:
    """Return how many samples `case` holds."""
    arrays = case.x.values() if isinstance(case.x, Mapping) else [case.x]
    return int(max(arrays, key=lambda array: array.ndim).shape[0])


def part_of(case: Case, start: int, stop: int) -> Case:
    """Return the samples `start` to before `stop` of `case`."""
    if not isinstance(case.x, Mapping):
        return dataclasses.replace(case, x=case.x[start:stop])
    x = {name: array if name in case.unbatched else array[start:stop] for name, array in case.x.items()}
    return dataclasses.replace(case, x=x)


def _sample_case(path: str | Path, x: Feed) -> Case:
    case = Case(name=f"samples of {Path(path).name}", x=x, is_usual=True, is_of_user=True)
    if not isinstance(x, Mapping):
        return case
    count = samples_in(case)
    unbatched = frozenset(name for name, array in x.items() if not array.ndim or len(array) != count)
    return dataclasses.replace(case, unbatched=unbatched)


def _array(path: str | Path, name: str, shape: str) -> npt.NDArray[Any]:
    """Return the array called `name` of an .npz file."""
    names, array = _found(path, name, f"an array {name!r} {shape}")
    if array is None:
        found = ", ".join(names[:20]) or "nothing"
        raise InputError(f"{path} has no array {name!r}, it has: {found}; --data wants {name!r} {shape}")
    return array


def _found(path: str | Path, name: str, wanted: str) -> tuple[list[str], npt.NDArray[Any] | None]:
    """Return the names of all arrays of an .npz file, and the one called `name`, if it is there."""
    try:
        return read_array(path, name)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; --data wants an .npz file with {wanted}") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot read {path}: {reason}; --data wants an .npz file with {wanted}") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is no .npz file; --data wants one with {wanted}") from error


def _images(
    path: str | Path, images: npt.NDArray[Any], sizes: tuple[int, ...], normalisation: Normalisation | None
) -> Array:
    """Return images of the network's channels."""
    channels = sizes[0]
    if images.ndim != 1 + len(sizes) or images.shape[1] not in {1, channels} or images.size == 0:
        raise InputError(f"'images' in {path} is {list(images.shape)}; the network wants [N, {channels}, H, W]")
    if images.dtype.kind not in "fiu":
        raise InputError(f"'images' in {path} is {images.dtype}; the network wants float32")
    repeated = np.repeat(images, channels // images.shape[1], axis=1)
    if images.dtype == np.uint8 and normalisation is not None:
        repeated = normalisation.of_bytes(repeated, axis=-1 if channels_last(sizes) else 1)
    return np.ascontiguousarray(_finite(repeated, path, "images"))


def _finite(array: npt.NDArray[Any], path: str | Path, name: str) -> Array:
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{name!r} in {path} holds NaN or infinite values")
    return array
