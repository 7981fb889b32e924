"""How every plot looks: readable without colour vision, and in the page by the page's own colours."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

INK = "#1a1a1b"
FAINT = "#d4d4d5"
BEFORE = "#999990"
AFTER = "#0072b2"
THIRD = "#d55e00"
"""Okabe and Ito's blue and vermilion, and grey: told apart without colour vision and in print.

Okabe & Ito, "Color Universal Design", 2008.
"""
_VARIABLES = {INK: "--ink", FAINT: "--faint", BEFORE: "--before", AFTER: "--after", THIRD: "--third"}
_WIDTH = 7.2
_PIXELS_PER_INCH = 200
_STYLE: dict[Any, Any] = {  # Matplotlib's type is a literal of all its names
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": FAINT,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "swp-export",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_METADATA = {"Date": None, "Creator": None}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw and save in our style within."""
    with rc_context(_STYLE):
        yield


def new_figure(height: float = 2.8, width: float = _WIDTH) -> Figure:
    """Return an empty figure of `width` x `height` inches; no window system is asked for it."""
    return Figure(figsize=(width, height))


def png_of(figure: Figure) -> bytes:
    """Return `figure` as PNG for print, white behind it."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_PIXELS_PER_INCH, facecolor="white")
    return file.getvalue()


def svg_of(figure: Figure) -> bytes:
    """Return `figure` as an SVG file, the same bytes each time, white behind it."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", facecolor="white", metadata=_METADATA)
    return file.getvalue()


def inline_svg(figure: Figure, name: str) -> str:
    """Return `figure` as an element for an HTML page: the page's colours, and identifiers that no other plot has."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata=_METADATA)
    text = file.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*pt" ',
        r'<svg aria-hidden="true" \1',
        re.sub(r'height="[^"]*pt" ', "", text, count=1),
        count=1,
    )
