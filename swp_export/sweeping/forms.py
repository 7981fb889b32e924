"""The forms in which a sweep writes each model to measure how fast it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swp_export.lowerings.automatic import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "default"
"""The form that `prune` writes when nothing else is asked for."""
FORMS: Mapping[str, str | None] = {DEFAULT: None, AUTO: AUTO}
"""By name, the lowering that `prune` is asked for."""
