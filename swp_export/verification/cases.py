"""The inputs on which two networks are compared, chosen so that each kind of mistake shows on one of them."""

from __future__ import annotations

import dataclasses
import math
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.npz import read_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

SAMPLES = 64
"""At most so many of the user's own samples are compared; the first ones."""
MOST_NUMBERS = 1 << 25
"""Of one input: 3 channels of 3,300 x 3,300. A batch of 9 takes 1.2 GB."""
CONSTANTS = np.array([-2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2], np.float32)
"""All positions of a constant map round alike, so a mean over them is as wrong as one of them: by 10 times more or less
from one constant to the next. Several show what is usual for the network."""

_DAMAGED = (ValueError, EOFError, TypeError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
IMAGES = 4
"""Of a case at whose magnitude there is no other: one image says little of what a float32 run is off in each logit."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One input.

    Attributes:
        name: what it is.
        x: `[N, C, H, W]`, in a dtype that both the model and its reference hold.
        is_usual: of the magnitude that networks are made for; every output must be decided on one such case.
        is_of_user: the user's own samples; every output must be decided on them.

    """

    name: str
    x: npt.NDArray[Any]
    is_usual: bool = False
    is_of_user: bool = False


def make_cases(
    input_shape: tuple[int, int, int], dtype: npt.DTypeLike = np.float32, *, seed: int = 0
) -> Iterator[Case]:
    """Yield the cases at one input shape `(C, H, W)`; `seed` is that of the noise.

    Floats are normal noise, integers are pixels: whole numbers from 0 to 255, which have no other magnitude.
    """
    require_small(input_shape)
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    is_float = dtype.kind == "f"
    levels = CONSTANTS if is_float else np.linspace(1, _brightest(dtype), len(CONSTANTS)).round()

    def noise(count: int) -> npt.NDArray[Any]:
        return _noise(rng, (count, *input_shape), dtype)

    yield Case(name="noise", x=noise(1), is_usual=True)
    yield Case(name="noise, batch of 7", x=noise(7), is_usual=True)
    yield Case(name="zeros", x=np.zeros((1, *input_shape), dtype))
    yield Case(
        name="constants", x=np.ones((len(levels), *input_shape), dtype) * levels.astype(dtype)[:, None, None, None]
    )
    yield _impulses(input_shape, 1 if is_float else _brightest(dtype), dtype)
    if is_float:
        yield Case(name="noise times 1000", x=(1000 * noise(IMAGES)).astype(dtype))
        yield Case(name="noise times 0.001", x=(np.float32(0.001) * noise(IMAGES)).astype(dtype))


def shared_dtype(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of inputs that both hold exactly: of integers before floats, of the narrower one.

    Raises:
        InputError: one of the two is neither.

    """
    for dtype in (one, other):
        if dtype.kind not in "fiu" or dtype.isbuiltin != 1:  # bfloat16 and floats of 8 bits are not NumPy's
            raise InputError(f"an input of {dtype} holds no images; expected floats or integers")
    return min(one, other, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))


def as_dtype(case: Case, dtype: np.dtype[Any]) -> Case:
    """Return `case` in `dtype`: rounded to floats, unchanged as integers.

    Raises:
        InputError: `dtype` cannot hold its values.

    """
    with np.errstate(all="ignore"):
        x = case.x.astype(dtype)
    if not (np.isfinite(x).all() if dtype.kind == "f" else np.array_equal(x, case.x)):
        whole = dtype.kind != "f"
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (np.finfo(dtype).min, np.finfo(dtype).max)
        raise InputError(
            f"{case.name}: the model's input is {dtype}, expected {'whole ' * whole}numbers from {low:g} to {high:g}; "
            f"found {case.x.min():g} to {case.x.max():g}"
        )
    return dataclasses.replace(case, x=x)


def require_small(input_shape: tuple[int, int, int]) -> None:
    """Check that inputs of `(C, H, W)` can be made.

    Raises:
        InputError: they are too large.

    """
    if math.prod(input_shape) > MOST_NUMBERS:
        raise InputError(
            f"an input {list(input_shape)} has {math.prod(input_shape):,} numbers, expected at most {MOST_NUMBERS:,}: "
            "the cases are batches of up to 9; pass a smaller --input-shape"
        )


def other_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return sizes beside `height` x `width` that a network may admit too: odd, not square, smaller, twice as large.

    Near ones show a wrong border. What was fixed at the traced size, as the windows of a pooling, may be right at all
    of those; it shows where the last maps have another size.
    """
    sizes = [(height + 1, width + 2), (height + 3, width), (height - 3, width - 1), (2 * height, 2 * width + 1)]
    return [(h, w) for h, w in sizes if h > 0 and w > 0]


def in_batches_of(case: Case, size: int) -> Iterator[Case]:
    """Yield the images of `case` in batches of exactly `size`; the last image fills up the last batch."""
    for start in range(0, len(case.x), size):
        images = case.x[start : start + size]
        filling = np.repeat(images[-1:], size - len(images), axis=0)
        yield dataclasses.replace(case, x=np.concatenate([images, filling]))


def noise_case(input_shape: tuple[int, int, int], dtype: npt.DTypeLike = np.float32, seed: int = 0) -> Case:
    """Return one noise image of `input_shape`, as `make_cases` has it."""
    x = _noise(np.random.default_rng(seed), (1, *input_shape), np.dtype(dtype))
    return Case(name=f"noise, {input_shape[1]}x{input_shape[2]}", x=x)


def read_samples(path: str | Path, input_shape: tuple[int, int, int]) -> Case:
    """Return the user's own samples as a case.

    Args:
        path: an .npz file with float32 `images` `[N, C, H, W]`, normalised as in training. One channel is repeated to
            the network's three.
        input_shape: `(C, H, W)` of the network; H and W of the samples may differ from it.

    Raises:
        InputError: the file cannot be read, or holds no such array.

    """
    try:
        names, images = read_array(path, "images")
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist; --data wants an .npz file with an array 'images' [N, C, H, W]"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot read {path}: {reason}; --data wants an .npz file with an array 'images'") from error
    except _DAMAGED as error:
        raise InputError(f"{path} is no .npz file; --data wants one with an array 'images' [N, C, H, W]") from error
    if images is None:
        found = ", ".join(names[:20]) or "nothing"
        raise InputError(f"{path} has no array 'images', it has: {found}; --data wants 'images' [N, C, H, W]")
    channels = input_shape[0]
    if images.ndim != 4 or images.shape[1] not in {1, channels} or images.size == 0:
        raise InputError(f"'images' in {path} is {list(images.shape)}; the network wants [N, {channels}, H, W]")
    if images.dtype.kind not in "fiu":
        raise InputError(f"'images' in {path} is {images.dtype}; the network wants float32")
    count, name = len(images), f"samples of {Path(path).name}"
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
        images = images[:SAMPLES].astype(np.float32)
    if not np.isfinite(images).all():
        raise InputError(f"'images' in {path} holds NaN or infinite values")
    images = np.repeat(images, channels // images.shape[1], axis=1)
    name = name if count <= SAMPLES else f"first {SAMPLES} of {count} {name}"
    return Case(name=name, x=np.ascontiguousarray(images), is_usual=True, is_of_user=True)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
    return rng.integers(0, _brightest(dtype), shape, dtype, endpoint=True)


def _brightest(dtype: np.dtype[Any]) -> int:
    return min(255, int(np.iinfo(dtype).max))


def _impulses(input_shape: tuple[int, int, int], size: int, dtype: np.dtype[Any]) -> Case:
    """Return single points of `size` at corners, edges and centre: a wrong shift or border moves or loses one."""
    channels, height, width = input_shape
    places = sorted({(i, j) for i in (0, height // 2, height - 1) for j in (0, width // 2, width - 1)})
    x = np.zeros((len(places), channels, height, width), dtype)
    for index, (i, j) in enumerate(places):
        x[index, :, i, j] = size
    return Case(name="impulses", x=x)
