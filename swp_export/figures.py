"""Figures as people read them."""

from __future__ import annotations

import math

_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e15


def readable(value: float, digits: int = 2) -> str:
    """Spell `value` by its first `digits` digits: 0.012, 35, 1,900,000; only what is tiny as 2.6e-07."""
    if not math.isfinite(value):
        return {math.inf: "infinite", -math.inf: "-infinite"}.get(value, "not a number")
    size = abs(value)
    if size and not _PLAIN_FROM <= size < _PLAIN_TO:
        return f"{value:.{digits}g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
    return f"{rounded:,.{decimals}f}"
