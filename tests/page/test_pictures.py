"""The pictures of layers that a notebook shows below a report's tables."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from swp_export.page.page import report
from swp_export.page.pictures import pictures_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_layer_is_drawn(pruned: dict[str, Any]) -> None:
    """Heat, histogram and shapes of each layer that is left, by its name, which cannot steer the notebook."""
    html = pictures_of(pruned)
    assert html.count('class="heat"') == html.count('class="histogram"') == html.count('class="strip"') == 2
    assert '<td colspan="3">removed</td>' in html
    assert "features.&lt;7&gt;" in html
    assert "features.<7>" not in html


def test_its_style_reaches_nothing_else(pruned: dict[str, Any]) -> None:
    """All rules are nested in the class of the pictures."""
    style = pictures_of(pruned).partition("<style>")[2].partition("</style>")[0].strip()
    assert style.startswith(".swp-export-pictures {")
    depth, outside = 0, []
    for sign in style.partition("{")[2].removesuffix("}"):
        depth += (sign == "{") - (sign == "}")
        outside.append(depth)
    assert min(outside) == 0


def test_what_has_no_layers_has_no_pictures(
    pruned: dict[str, Any], measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A benchmark has none, nor any report where Jinja2 is not installed."""
    assert pictures_of(measured) == pictures_of({"kind": "training log"}) == ""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert pictures_of(pruned) == ""


def test_a_page_of_one_document(pruned: dict[str, Any], tmp_path: Path) -> None:
    """`report` takes one path as well as many, a string too."""
    file = tmp_path / "prune.json"
    file.write_text(json.dumps(pruned))
    report(str(file), output=tmp_path / "page.html")
    assert "features.0" in (tmp_path / "page.html").read_text()
