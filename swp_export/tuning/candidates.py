"""What became of each lowering that was tried for a layer."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A lowering of a layer, measured alone: median milliseconds of the layer with a ReLU behind it."""

    layer: str
    lowering: str
    median_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discarded:
    """A candidate that was not considered further, and why."""

    layer: str
    lowering: str
    reason: str
