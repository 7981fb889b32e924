"""The inputs on which two networks are compared, chosen so that each kind of mistake shows on one of them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError
from swp_export.verification.feeds import Feeds, channels_last, image_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Array, Feed, TensorSpec
    from swp_export.verification.feeds import Fill

MOST_NUMBERS = 1 << 25
"""Of one input: 3 channels of 3,300 x 3,300. A batch of 9 takes 1.2 GB."""
CONSTANTS = np.array([-2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2], np.float32)
"""All positions of a constant map round alike, so a mean over them is as wrong as one of them: by 10 times more or less
from one constant to the next. Several show what is usual for the network."""
IMAGES = 4
"""Of a case at whose magnitude there is no other: one image says little of what a float32 run is off in each logit."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One input, or one set of them.

    Attributes:
        name: what it is.
        x: the only input, float32 `[N, C, H, W]` of an image, or all inputs by name.
        is_usual: of the magnitude that networks are made for; every output must be decided on one such case.
        is_of_user: the user's own samples; every output must be decided on them.
        unbatched: names of the inputs whose first axis is not the batch's.

    """

    name: str
    x: Feed
    is_usual: bool = False
    is_of_user: bool = False
    unbatched: frozenset[str] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the only input, or of the one with most axes."""
        return self.x.shape if not isinstance(self.x, Mapping) else max((a.shape for a in self.x.values()), key=len)


def make_cases(
    input_shape: InputShape, dtype: npt.DTypeLike = np.float32, *, inputs: Sequence[TensorSpec] = (), seed: int = 0
) -> Iterator[Case]:
    """Yield the cases at one input shape.

    Floats are normal noise, integers are pixels: whole numbers from 0 to 255, which have no other magnitude.

    Args:
        input_shape: `(C, H, W)` of the only input, or of each by name.
        dtype: of the only input.
        inputs: what the model takes; of several inputs each is made in its own dtype, see `Feeds`.
        seed: of the noise.

    """
    require_small(input_shape)
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    feeds = Feeds(input_shape, inputs, rng)
    is_float = dtype.kind == "f"
    levels = (CONSTANTS if is_float else np.linspace(1, _brightest(dtype), len(CONSTANTS)).round()).astype(dtype)
    impulses = _impulses(feeds.main, 1 if is_float else _brightest(dtype), dtype)

    def case(name: str, count: int, fill: Fill, *, is_usual: bool = False) -> Case:
        return Case(name=name, x=feeds.make(count, fill), is_usual=is_usual, unbatched=feeds.unbatched)

    def noise(shape: tuple[int, ...]) -> Array:
        return _noise(rng, shape, dtype)

    def constants(shape: tuple[int, ...]) -> Array:
        return np.ones(shape, dtype) * np.resize(levels, shape[:1]).reshape(-1, *[1] * (len(shape) - 1))

    def impulses_or_noise(shape: tuple[int, ...]) -> Array:
        return impulses if shape == impulses.shape else noise(shape)

    yield case("noise", 1, noise, is_usual=True)
    yield case("noise, batch of 7", 7, noise, is_usual=True)
    yield case("zeros", 1, lambda shape: np.zeros(shape, dtype))
    yield case("constants", len(levels), constants)
    yield case("impulses", len(impulses), impulses_or_noise)
    if is_float:
        yield case("noise times 1000", IMAGES, lambda shape: (1000 * noise(shape)).astype(dtype))
        yield case("noise times 0.001", IMAGES, lambda shape: (np.float32(0.001) * noise(shape)).astype(dtype))


def shared_dtype(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of inputs that both hold exactly: of integers before floats, of the narrower one.

    Raises:
        InputError: one of the two is neither.

    """
    for dtype in (one, other):
        if dtype.kind not in "fiu" or dtype.isbuiltin != 1:  # bfloat16 and floats of 8 bits are not NumPy's
            raise InputError(f"an input of {dtype} holds no images; expected floats or integers")
    return min(one, other, key=lambda dtype: (dtype.kind == "f", dtype.itemsize))


def as_taken(case: Case, dtype: np.dtype[Any], inputs: Sequence[TensorSpec]) -> Case:
    """Return `case` with its only input in `dtype`, or each of several in its own.

    Raises:
        InputError: a dtype cannot hold its values.

    """
    if not isinstance(case.x, Mapping):
        return as_dtype(case, dtype)
    dtypes = {spec.name: spec.dtype for spec in inputs}
    x = {name: _in_dtype(array, dtypes[name], f"{name} of {case.name}") for name, array in case.x.items()}
    return dataclasses.replace(case, x=x)


def as_dtype(case: Case, dtype: np.dtype[Any]) -> Case:
    """Return `case`, of one input, in `dtype`: rounded to floats, unchanged as integers.

    Raises:
        InputError: `dtype` cannot hold its values.

    """
    assert not isinstance(case.x, Mapping)
    return dataclasses.replace(case, x=_in_dtype(case.x, dtype, case.name))


def _in_dtype(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    with np.errstate(all="ignore"):
        x = array.astype(dtype)
    if not (np.isfinite(x).all() if dtype.kind == "f" else np.array_equal(x, array)):
        whole = dtype.kind in "iu"
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else (0, 1)
        if dtype.kind == "f":
            low, high = np.finfo(dtype).min, np.finfo(dtype).max
        raise InputError(
            f"{name}: the model's input is {dtype}, expected {'whole ' * whole}numbers from {low:g} to {high:g}; "
            f"found {array.min():g} to {array.max():g}"
        )
    return x


def require_small(input_shape: InputShape) -> None:
    """Check that inputs of this shape can be made.

    Raises:
        InputError: they are too large.

    """
    for sizes in input_shape.values() if isinstance(input_shape, Mapping) else [input_shape]:
        if math.prod(sizes) > MOST_NUMBERS:
            raise InputError(
                f"an input {list(sizes)} has {math.prod(sizes):,} numbers, expected at most {MOST_NUMBERS:,}: "
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
    if not isinstance(case.x, Mapping):
        yield from (dataclasses.replace(case, x=part) for part in _parts(case.x, size))
        return
    whole = {name: array for name, array in case.x.items() if name in case.unbatched}
    batched = {name: _parts(array, size) for name, array in case.x.items() if name not in case.unbatched}
    for parts in zip(*batched.values(), strict=True):
        yield dataclasses.replace(case, x=whole | dict(zip(batched, parts, strict=True)))


def _parts(images: Array, size: int) -> list[Array]:
    filling = np.repeat(images[-1:], -len(images) % size, axis=0)
    filled = np.concatenate([images, filling])
    return [filled[start : start + size] for start in range(0, len(filled), size)]


def noise_case(
    input_shape: InputShape, dtype: npt.DTypeLike = np.float32, seed: int = 0, *, inputs: Sequence[TensorSpec] = ()
) -> Case:
    """Return one noise image of `input_shape`, as `make_cases` has it."""
    rng = np.random.default_rng(seed)
    feeds = Feeds(input_shape, inputs, rng)
    x = feeds.make(1, lambda shape: _noise(rng, shape, np.dtype(dtype)))
    return Case(name=f"noise, {'x'.join(map(str, image_sizes(feeds.main)))}", x=x, unbatched=feeds.unbatched)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
    return rng.integers(0, _brightest(dtype), shape, dtype, endpoint=True)


def _brightest(dtype: np.dtype[Any]) -> int:
    return min(255, int(np.iinfo(dtype).max))


def _impulses(sizes: tuple[int, ...], size: int, dtype: np.dtype[Any]) -> Array:
    """Return single points of `size` at corners, edges and centre: a wrong shift or border moves or loses one."""
    last = channels_last(sizes)
    places = list(itertools.product(*(sorted({0, length // 2, length - 1}) for length in image_sizes(sizes))))
    x = np.zeros((len(places), *sizes), dtype)
    for index, place in enumerate(places):
        image = x[index] if last else np.moveaxis(x[index], 0, -1)
        image[place] = size
    return x
