"""How figures are written for people: the page shows these texts, and keeps the number itself beside each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Number = int | float

_UNITS = ("", " k", " M", " G", " T")


def count(value: Number) -> str:
    """Return a whole number with its thousands apart: 14,719,818."""
    return f"{value:,.0f}"


def short(value: Number) -> str:
    """Return three digits and a unit of a thousand, a million ...: 14.7 M."""
    if not value:
        return "0"
    power = min(len(_UNITS) - 1, max(0, math.floor(math.log10(abs(value)) / 3)))
    scaled = value / 1000**power
    digits = max(0, 2 - math.floor(math.log10(abs(scaled)))) if power else 0
    return f"{scaled:.{digits}f}{_UNITS[power]}"


def megabytes(value: Number) -> str:
    """Return bytes as megabytes of a million: 0.70 MB."""
    return f"{value / 1e6:.2f} MB"


def milliseconds(value: Number) -> str:
    """Return a time with three digits: 0.738 ms."""
    return f"{value:.3g} ms"


def percent(value: Number) -> str:
    """Return a percentage with one decimal: 99.0 %."""
    return f"{value:.1f} %"


def share(value: Number) -> str:
    """Return a share of 1 as a percentage: 12.5 %."""
    return f"{100 * value:.1f} %"


def times(value: Number) -> str:
    """Return a ratio: 12.5 times."""
    return f"{value:.3g} times"


def tiny(value: Number) -> str:
    """Return an error or a budget in two digits: 2.6e-07."""
    return f"{value:.2g}"


def plain(value: Number) -> str:
    """Return a number as it is, up to six digits."""
    return f"{value:.6g}"


FORMATS: Mapping[str, Callable[[Number], str]] = {
    "count": count,
    "short": short,
    "megabytes": megabytes,
    "milliseconds": milliseconds,
    "percent": percent,
    "share": share,
    "times": times,
    "tiny": tiny,
    "plain": plain,
}
"""By the name that the template uses."""
