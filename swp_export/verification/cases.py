"""The inputs on which two networks are compared, chosen so that each kind of mistake shows on one of them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from swp_export.errors import InputError
from swp_export.verification.feeds import Feeds, channels_last, image_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
LARGE = 1 << 16
"""Numbers of an image from which on cases have fewer of them: a resnet50 at 224 takes a third of a second for each."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One input, or one set of them.

    Attributes:
        name: what it is.
        x: the only input, float32 `[N, C, H, W]` of an image, or all inputs by name.
        is_usual: of the magnitude that networks are made for; every output must be decided on one such case.
        saturates: so large that activations are flat at most places: few carry what rounding or a mistake moves.
        is_of_user: the user's own samples; every output must be decided on them.
        unbatched: names of the inputs whose first axis is not the batch's.

    """

    name: str
    x: Feed
    is_usual: bool = False
    saturates: bool = False
    is_of_user: bool = False
    unbatched: frozenset[str] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the only input, or of the one with most axes."""
        return self.x.shape if not isinstance(self.x, Mapping) else max((a.shape for a in self.x.values()), key=len)


def make_cases(input_shape: InputShape, *, inputs: Sequence[TensorSpec] = (), seed: int = 0) -> Iterator[Case]:
    """Yield the cases at one input shape.

    Of large images they have fewer, and as many kinds.

    Args:
        input_shape: `(C, H, W)` of the only input, or of each by name.
        inputs: what the model takes; default: one float32 input.
        seed: of the noise.

    """
    require_small(input_shape)
    rng = np.random.default_rng(seed)
    feeds = Feeds(input_shape, inputs, rng)

    is_large = math.prod(feeds.main) > LARGE
    batch, images, levels = (3, 3, CONSTANTS[::2]) if is_large else (7, IMAGES, CONSTANTS)

    def noise(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    def constants(shape: tuple[int, ...]) -> Array:
        column = np.resize(levels, shape[:1])
        return np.ones(shape, np.float32) * column.reshape(-1, *[1] * (len(shape) - 1))

    def case(name: str, count: int, fill: Fill, *, is_usual: bool = False, saturates: bool = False) -> Case:
        x = feeds.make(count, fill)
        return Case(name=name, x=x, is_usual=is_usual, saturates=saturates, unbatched=feeds.unbatched)

    impulses = _impulses(feeds.main, edges=not is_large)

    def impulses_or_noise(shape: tuple[int, ...]) -> Array:
        return impulses if shape == impulses.shape else noise(shape)

    yield case("noise", 1, noise, is_usual=True)
    yield case(f"noise, batch of {batch}", batch, noise, is_usual=True)
    yield case("zeros", 1, lambda shape: np.zeros(shape, np.float32))
    yield case("constants", len(levels), constants)
    yield case("impulses", len(impulses), impulses_or_noise)
    yield case("noise times 30", 1 if is_large else images, lambda shape: 30 * noise(shape), saturates=not is_large)
    yield case("noise times 1000", images, lambda shape: 1000 * noise(shape), saturates=not is_large)
    yield case("noise times 0.001", images, lambda shape: np.float32(0.001) * noise(shape))
    # What only large inputs show grows with them: a weight that is wrong behind a Relu that few of them open.
    yield case("noise times 10000", 1, lambda shape: 10_000 * noise(shape), saturates=not is_large)


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


def noise_case(input_shape: InputShape, inputs: Sequence[TensorSpec] = (), seed: int = 0) -> Case:
    """Return one noise image of `input_shape`."""
    rng = np.random.default_rng(seed)
    feeds = Feeds(input_shape, inputs, rng)
    name = f"noise, {'x'.join(map(str, image_sizes(feeds.main)))}"
    x = feeds.make(1, lambda shape: rng.standard_normal(shape, dtype=np.float32))
    return Case(name=name, x=x, unbatched=feeds.unbatched)


def _impulses(sizes: tuple[int, ...], *, edges: bool) -> Array:
    """Return single ones at corners, edges and centre: a wrong shift or border moves or loses one."""
    last = channels_last(sizes)
    positions = [sorted({0, size // 2, size - 1}) for size in image_sizes(sizes)]
    places = list(itertools.product(*positions))
    if not edges:
        centre = tuple(size // 2 for size in image_sizes(sizes))
        places = [*itertools.product(*((0, size - 1) for size in image_sizes(sizes))), centre]
    x = np.zeros((len(places), *sizes), np.float32)
    for index, place in enumerate(places):
        images = x[index] if last else np.moveaxis(x[index], 0, -1)
        images[place] = 1
    return x
