"""What a model is fed with: arrays of any case for each of its inputs, whatever their number, shapes and types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from swp_export.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swp_export.graph.metadata import InputShape
    from swp_export.runtime.session import Array, Feed, TensorSpec

    Fill = Callable[[tuple[int, ...]], Array]
    """Makes the float32 array of a shape."""

_FEW_CHANNELS = 4
PIXEL_MEAN, PIXEL_SPREAD = 128, 55
"""Of bytes without a sign, about as in photographs; those with one are around 0."""


class Feeds:
    """Makes the inputs of a model.

    Floats are what a case asks for, but those of at most one axis behind the batch that stand beside an image are
    scales and sizes: near one, never zero. Of integers, bytes of an image are pixels, PIXEL_SPREAD times what the case
    asks for around PIXEL_MEAN, where that is none of 0 to 255 black or white. Others are 0 and 1, which every table of
    rows has and every mask is made of, and 1 where there is but one for an image, which is a length.

    Attributes:
        main: the sizes, behind the batch, of the input whose first axis is the batch.
        unbatched: names of the inputs whose first axis is not.

    Raises:
        InputError: the model takes others of several inputs.

    """

    def __init__(self, input_shape: InputShape, inputs: Sequence[TensorSpec], rng: np.random.Generator) -> None:
        self._shape = input_shape
        self._inputs = {spec.name: spec for spec in inputs}
        self._rng = rng
        if isinstance(input_shape, Mapping):
            if set(self._inputs) != set(input_shape):
                found, wanted = (", ".join(names) or "none" for names in (self._inputs, input_shape))
                raise InputError(f"one of the models takes the inputs {found}, to compare are {wanted}")
            first = main_of(inputs)
            self.main = input_shape[first.name]
            self.unbatched = frozenset(spec.name for spec in inputs if not _shares_batch(spec, first))
        else:
            self.main, self.unbatched = input_shape, frozenset[str]()

    def make(self, count: int, fill: Fill) -> Feed:
        """Return the inputs for `count` images, the floats as `fill` gives them."""
        if isinstance(self._shape, Mapping):
            return {name: self._array(self._inputs[name], sizes, count, fill) for name, sizes in self._shape.items()}
        spec = next(iter(self._inputs.values()), None)
        return fill((count, *self._shape)) if spec is None else self._array(spec, self._shape, count, fill)

    def _array(self, spec: TensorSpec, sizes: tuple[int, ...], count: int, fill: Fill) -> Array:
        own = spec.shape[0] if spec.shape and spec.name in self.unbatched else count
        shape = (own if isinstance(own, int) else count, *sizes) if spec.shape else ()
        if spec.dtype.kind in "iu" and spec.dtype.itemsize == 1 and len(sizes) > 1:
            return _pixels(fill(shape), spec.dtype)
        if spec.dtype.kind in "iub":
            return self._whole(spec.dtype, shape)
        if len(sizes) < 2 <= len(self.main):
            return np.asarray(self._rng.uniform(0.5, 1.5, shape)).astype(spec.dtype)
        return fill(shape).astype(spec.dtype)

    def _whole(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        low, high = 0, 2
        if dtype.kind != "b" and dtype.itemsize == 1:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max + 1
        elif len(shape) < 2:
            low = 1
        return np.asarray(self._rng.integers(low, high, shape)).astype(dtype)


def _pixels(x: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    mean = PIXEL_MEAN if dtype.kind == "u" else 0
    pixels: Array = np.clip(np.rint(mean + PIXEL_SPREAD * x), limits.min, limits.max).astype(dtype)
    return pixels


def zeros(input_shape: InputShape, inputs: Sequence[TensorSpec], count: int) -> Feed:
    """Return `count` images of zeros, and what goes with them."""
    return Feeds(input_shape, inputs, np.random.default_rng(0)).make(count, lambda shape: np.zeros(shape, np.float32))


def main_of(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """Return the input whose first axis is the batch: the one with most axes, the first of several."""
    return max(inputs, key=lambda spec: len(spec.shape))


def channels_last(sizes: Sequence[int]) -> bool:
    """Tell whether sizes of an image are `(H, W, C)`, as converted models have it: few channels behind more rows."""
    return len(sizes) == 3 and sizes[2] <= _FEW_CHANNELS < sizes[0]


def image_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of an image without its channels."""
    return tuple(sizes[:-1] if channels_last(sizes) else sizes[1:])


def _shares_batch(spec: TensorSpec, main: TensorSpec) -> bool:
    return bool(spec.shape) and (not isinstance(spec.shape[0], int) or spec.shape[0] == main.shape[0])
