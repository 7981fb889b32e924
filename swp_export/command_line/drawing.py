"""Small pictures in block characters, which become ASCII where the console's encoding is not a Unicode one."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions

_BLOCKS = "·▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*#%@"
_LARGEST_KERNEL = 3
_LONGEST_SPARK = 10
_LONGEST_CURVE = 40


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One line of text, as it is in Unicode and in ASCII, equally long."""

    unicode: str
    ascii: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(self.ascii if options.ascii_only else self.unicode)

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(len(self.unicode), len(self.unicode))


def heat(shares: Sequence[Sequence[float]]) -> Drawing:
    """Draw the share of each tap `[K_h][K_w]` against the largest, row by row; larger kernels as thirds of an axis."""
    rows = [
        [sum(shares[i][j] for i in down for j in across) / (len(down) * len(across)) for across in _thirds(shares[0])]
        for down in _thirds(shares)
    ]
    width = len(rows[0])
    levels = _levels([share for row in rows for share in row])
    return _drawing([levels[start : start + width] for start in range(0, len(levels), width)])


def spark(counts: Sequence[int]) -> Drawing:
    """Draw `counts` against the largest; a long histogram keeps its first count and adds up its neighbours."""
    if len(counts) > _LONGEST_SPARK:
        edges = [1 + (len(counts) - 1) * n // (_LONGEST_SPARK - 1) for n in range(_LONGEST_SPARK)]
        counts = [counts[0], *(sum(counts[a:b]) for a, b in itertools.pairwise(edges))]
    return _drawing([_levels(counts)])


def curve(values: Sequence[float]) -> Drawing:
    """Draw `values` from the lowest to the highest; of a long series a part, its first and last included."""
    columns = min(len(values), _LONGEST_CURVE)
    shown = [values[n * (len(values) - 1) // max(1, columns - 1)] for n in range(columns)]
    low, high = min(shown), max(shown)
    top = len(_BLOCKS) - 2
    return _drawing([[1 + (round((value - low) / (high - low) * top) if high > low else 0) for value in shown]])


def bar(count: int, largest: int, width: int) -> Drawing:
    """Draw `count` as a bar, `largest` as one that is `width` long; nothing but zero has none."""
    length = -(-count * width // largest) if count else 0
    return Drawing("█" * length, "#" * length)


def _thirds(axis: Sequence[object]) -> list[range]:
    """Return the parts of an axis, symmetric: each position up to three, else a third each."""
    size = len(axis)
    if size <= _LARGEST_KERNEL:
        return [range(n, n + 1) for n in range(size)]
    outer = round(size / 3)
    return [range(outer), range(outer, size - outer), range(size - outer, size)]


def _levels(values: Sequence[float]) -> list[int]:
    """Return 0 for zero, else 1 to 8 in proportion to the largest of `values`."""
    largest, top = max(values, default=0), len(_BLOCKS) - 1
    return [max(1, round(value / largest * top)) if value else 0 for value in values]


def _drawing(groups: Sequence[Sequence[int]]) -> Drawing:
    unicode, ascii_ = (" ".join("".join(signs[n] for n in group) for group in groups) for signs in (_BLOCKS, _ASCII))
    return Drawing(unicode, ascii_)
