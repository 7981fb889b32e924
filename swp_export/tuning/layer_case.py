"""A layer to be measured."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swp_export.stripes import StripeConv


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LayerCase:
    """A layer as it stands in its network: what it computes, of which input, and whether its filters may be ordered."""

    conv: StripeConv
    input_shape: tuple[int, ...]
    free: bool
