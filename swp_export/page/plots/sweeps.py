"""What each threshold of a sweep costs and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from swp_export.page.documents import Documents


def pareto_plot(documents: Documents) -> Figure | None:
    """Draw accuracy against cost."""
    return None


def accuracy_plot(documents: Documents) -> Figure | None:
    """Draw accuracy and live stripes against the threshold."""
    return None
