"""Where the windows of convolutions and pools lie: pads that are stated, automatic or needed by ceil_mode."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from swp_export.graph.operators.call import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swp_export.graph.operators.call import Call


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows over the spatial axes of a tensor `[N, C, ...]`, one entry an axis.

    Attributes:
        size: the tensor's.
        kernel, strides, dilations: of the windows.
        begins, ends: the pads; those that ceil_mode adds at the end are not among them.
        positions: how many windows there are.

    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    positions: tuple[int, ...]

    def padded(self, x: np.ndarray, value: float) -> np.ndarray:
        """Return `x` filled with `value` as far as any window reaches; negative pads cut it."""
        widths = [(0, 0), (0, 0)]
        for axis in range(len(self.size)):
            reach = (self.positions[axis] - 1) * self.strides[axis] + self._extent(axis)
            widths.append((self.begins[axis], reach - self.size[axis] - self.begins[axis]))
        cut = tuple(
            slice(max(0, -begin), size - max(0, -end)) for (begin, end), size in zip(widths, x.shape, strict=True)
        )
        x = x[cut]
        if any(begin > 0 or end > 0 for begin, end in widths):
            x = np.pad(x, [(max(0, b), max(0, e)) for b, e in widths], constant_values=np.asarray(value, x.dtype))
        return x

    def taps(self) -> Iterator[tuple[int, ...]]:
        """Yield every position of the kernel."""
        yield from np.ndindex(*self.kernel)

    def seen_by(self, tap: Sequence[int], padded: np.ndarray) -> np.ndarray:
        """Return what `tap` of all windows sees of the `padded` tensor, `[N, C, *positions]`: a view."""
        steps = []
        for axis, position in enumerate(tap):
            start = position * self.dilations[axis]
            stop = start + (self.positions[axis] - 1) * self.strides[axis] + 1
            steps.append(slice(start, stop, self.strides[axis]))
        return padded[(slice(None), slice(None), *steps)]

    def counts(self, *, include_pads: bool) -> np.ndarray:
        """Return how many elements each window sees, float64 `[*positions]`; what ceil_mode adds never counts."""
        total = np.ones(())
        for axis, size in enumerate(self.size):
            first = np.arange(self.positions[axis]) * self.strides[axis] - self.begins[axis]
            seen = first[:, None] + self.dilations[axis] * np.arange(self.kernel[axis])
            low, high = (-self.begins[axis], size + self.ends[axis]) if include_pads else (0, size)
            total = total[..., None] * ((seen >= low) & (seen < high)).sum(axis=1)
        return total

    def _extent(self, axis: int) -> int:
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1


def windows_of(call: Call, size: Sequence[int], kernel: Sequence[int]) -> Windows:
    """Return the windows of `kernel` over a tensor whose spatial axes have `size`.

    Raises:
        UnsupportedError: dilations with automatic pads.
        ValueError: an attribute does not fit the tensor's rank, or no window fits into it.

    """
    rank = len(size)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    pads = call.integers("pads") or [0] * 2 * rank
    if not len(kernel) == len(strides) == len(dilations) == rank == len(pads) // 2:
        raise ValueError(f"a kernel of rank {len(kernel)} does not fit an input with {rank} spatial axes")
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    auto_pad = call.text("auto_pad", "NOTSET")
    if auto_pad.startswith("SAME"):
        if max(dilations) > 1:
            raise UnsupportedError(f"dilations with auto_pad = {auto_pad!r}, on which runtimes differ; state the pads")
        pairs = [_same_pads(*axis, upper=auto_pad == "SAME_UPPER") for axis in zip(size, strides, extents, strict=True)]
        pads = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    elif auto_pad == "VALID":
        pads = [0] * 2 * rank
    ceil = call.integer("ceil_mode", 0) == 1 and not auto_pad.startswith("SAME")
    positions = []
    for axis in range(rank):
        room = size[axis] + pads[axis] + pads[axis + rank] - extents[axis]
        count = (-(-room // strides[axis]) if ceil else room // strides[axis]) + 1
        if ceil and (count - 1) * strides[axis] >= size[axis] + pads[axis]:
            count -= 1  # a window that would begin in the end's padding is left out
        if count < 1:
            shape = "x".join(map(str, kernel))
            raise ValueError(f"a padded input of {_padded_size(size, pads)} is smaller than the kernel {shape}")
        positions.append(count)
    return Windows(
        size=tuple(size),
        kernel=tuple(kernel),
        strides=tuple(strides),
        dilations=tuple(dilations),
        begins=tuple(pads[:rank]),
        ends=tuple(pads[rank:]),
        positions=tuple(positions),
    )


def _padded_size(size: Sequence[int], pads: Sequence[int]) -> list[int]:
    return [n + pads[axis] + pads[axis + len(size)] for axis, n in enumerate(size)]


def _same_pads(size: int, stride: int, extent: int, *, upper: bool) -> tuple[int, int]:
    """Return the pads of one axis that give `ceil(size / stride)` positions; `upper`: the odd one goes to the end."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)
