"""The page's pictures of layers alone, as a piece of HTML for a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swp_export.page.documents import COMMANDS, documents_from
from swp_export.page.layers import layer_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATES = Path(__file__).parent / "templates"


def pictures_of(content: Mapping[str, Any]) -> str:
    """Return the skeletons of a report's `to_json()`, drawn; "" where it has none, or Jinja2 is not installed."""
    if content.get("command") not in COMMANDS:
        return ""
    listing = documents_from([dict(content)]).first("prune", "inspect")
    rows = [] if listing is None else [row for row in layer_rows(listing, None) if row.heat]
    if not rows:
        return ""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ModuleNotFoundError:
        return ""
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((_TEMPLATES / "pictures.css").read_text(encoding="utf-8"))  # noqa: S704 # ours
    return environment.get_template("notebook.html.jinja").render(rows=rows, style=style)
