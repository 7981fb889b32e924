"""Rows and filters of zeros that fill up to whole blocks of the runtime's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from swp_export.lowerings.parts.geometry import Stripe

    Filters = npt.NDArray[np.int64]
    """Filters of a layer, -1 for one of zeros."""
    Rows = Sequence[Stripe | None]
    """Stripes `(filter, i, j)`, None for a row of zeros."""


def round_up(count: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that holds `count`, at least one."""
    return max(1, -(-count // multiple)) * multiple


def filled_up(filters: Filters, multiple: int) -> Filters:
    """Return `filters` with filters of zeros behind them."""
    return np.pad(filters, (0, round_up(filters.size, multiple) - filters.size), constant_values=-1)


def filled_before(filters: Filters, multiple: int) -> Filters:
    """Return `filters` with filters of zeros before them."""
    return np.pad(filters, (round_up(filters.size, multiple) - filters.size, 0), constant_values=-1)


def filled_rows(rows: Rows, size: int) -> Rows:
    """Return `rows` with rows of zeros behind them, `size` in all."""
    return [*rows, *[None] * (size - len(rows))]
