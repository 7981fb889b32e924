"""The page as HTML: self-contained, true to its documents, and safe whatever they hold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from swp_export.cli import cli
from swp_export.page.documents import documents_from
from swp_export.page.formats import FORMATS
from swp_export.page.layers import layer_rows, layer_times
from swp_export.page.page import page_of, report

if TYPE_CHECKING:
    from pathlib import Path


class Figures(HTMLParser):
    """Collects each <data> of a page: where it comes from, its value, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self._open: tuple[str, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember where a figure begins."""
        named = dict(attrs)
        if tag == "data" and "data-from" in named:
            self._open = (named["data-from"] or "", named["value"] or "")

    def handle_data(self, data: str) -> None:
        """Take the text of a figure."""
        if self._open is not None:
            self.found.append((*self._open, data))
            self._open = None


def test_every_figure_is_that_of_its_document(pruned: dict[str, Any], measured: dict[str, Any]) -> None:
    """Each figure states where it comes from: there lies its value, and its text is that value for people."""
    documents = documents_from([pruned, measured])
    found = Figures(page_of([pruned, measured])).found
    assert len(found) > 40
    for source, value, text in found:
        number, _, path = source.partition(":")
        truth = documents.all[int(number)].at(path)
        assert float(value) == truth
        assert text in {show(truth) for show in FORMATS.values()}


def test_the_page_needs_nothing_beside_it(
    pruned: dict[str, Any], measured: dict[str, Any], trained: dict[str, Any]
) -> None:
    """No file, no server, no font is asked for, and the same documents give the same bytes."""
    page = page_of([pruned, measured, trained])
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert page == page_of([pruned, measured, trained])


def test_identifiers_are_unique(pruned: dict[str, Any], measured: dict[str, Any], trained: dict[str, Any]) -> None:
    """Several plots lie in one page: none draws with another's clip path or marker."""
    page = page_of([pruned, measured, trained])
    found = re.findall(r'\bid="([^"]+)"', page)
    assert len(found) == len(set(found))
    assert set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)", page)) <= {
        pair for name in found for pair in ((name, ""), ("", name))
    }


def test_names_of_a_checkpoint_cannot_steer_the_page(pruned: dict[str, Any]) -> None:
    """A layer's name is text, in the table as in the plots."""
    pruned["layers"][0]["name"] = "<script>alert(1)</script>"
    page = page_of([pruned])
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert" in page


def test_a_layer_that_did_not_pay_is_marked(pruned: dict[str, Any], measured: dict[str, Any]) -> None:
    """features.3 took 0.2 ms of the baseline and takes 0.4 ms of the model."""
    documents = documents_from([pruned, measured])
    rows = layer_rows(documents.all[0], layer_times(documents))
    assert [(row.ms_before, row.ms_after) for row in rows] == [
        pytest.approx((3.0, 0.6)),
        pytest.approx((0.2, 0.4)),
        pytest.approx((0.8, 0.0)),
    ]
    assert page_of([pruned, measured]).count("<strong>slower</strong>") == 1


def test_pictures_of_a_layer(pruned: dict[str, Any]) -> None:
    """7 of 8 filters are left: all keep the centre, 5 the tap above it, and one filter has no stripe."""
    row = layer_rows(documents_from([pruned]).all[0], None)[0]
    assert row.heat == (0, 5 / 8, 0, 0, 7 / 8, 0, 0, 0, 0)
    assert row.histogram == (1, 2, 5, 0, 0, 0, 0, 0, 0, 0)


def test_a_sweep_and_what_it_wrote(swept: dict[str, Any]) -> None:
    """A page of a sweep alone has its thresholds, and the layers of the model that was written at one."""
    page = page_of([swept])
    sources = {source for source, _, _ in Figures(page).found}
    assert {"0:chosen.threshold", "0:points.1.accuracy.after", "0:written.layers.0.live_stripes"} <= sources
    assert "Pareto front" in page
    assert "chosen: 0.01" in page


def test_a_sweep_without_labels_is_drawn_by_its_error(swept: dict[str, Any]) -> None:
    """Nothing is said of accuracy that nobody measured."""
    for point in (swept["unpruned"], *swept["points"]):
        point["accuracy"], point["latency"] = None, {}
    swept["fronts"]["latency"] = []
    assert "error, share of the largest output" in page_of([swept])


def test_gates_are_shown() -> None:
    """A page of `check` alone has each gate of each model, and what was found."""
    gates = [{"gate": "size", "status": "missed", "message": "1.2 MB, the gate is 1 MB"}]
    page = page_of(
        [{"command": "check", "gates": "g.toml", "models": [{"name": "vgg", "model": "v.onnx", "gates": gates}]}]
    )
    assert all(f">{text}</" in page for text in ("vgg", "size", "missed", "1.2 MB, the gate is 1 MB"))


def test_figures_for_papers(tmp_path: Path, pruned: dict[str, Any]) -> None:
    """Every plot becomes SVG and PNG, labelled, the same bytes each time."""
    (tmp_path / "p.json").write_text(json.dumps(pruned))
    report([tmp_path / "p.json"], output=tmp_path / "r.html", figures=tmp_path / "figures")
    names = {"stripes", "parameters", "flops", "skeletons"}
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {
        f"{n}.{s}" for n in names for s in ("svg", "png")
    }
    drawn = (tmp_path / "figures" / "flops.svg").read_bytes()
    texts = set(re.findall(r"<text [^>]*>([^<]*)</text>", drawn.decode()))
    assert {"FLOPs executed per image", "features.0", "before", "after"} <= texts
    report([tmp_path / "p.json"], output=tmp_path / "r.html", figures=tmp_path / "figures", force=True)
    assert (tmp_path / "figures" / "flops.svg").read_bytes() == drawn


def test_the_command(tmp_path: Path, pruned: dict[str, Any]) -> None:
    """Files in, a page out; a second time it is not overwritten, and one line says so."""
    (tmp_path / "p.json").write_text(json.dumps(pruned))
    arguments = ["report", str(tmp_path / "p.json"), "-o", str(tmp_path / "r.html")]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 2
    assert again.stderr.count("\n") == 1
    assert "r.html" in again.stderr
