"""What stays, and why, in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.command_line.kept_lines import kept_lines
from swp_export.graph.analysis.kept_channels import Kept

if TYPE_CHECKING:
    from real_networks import Pruned

READS = "node x (Einsum) reads them"


def test_nothing_stays() -> None:
    """Then nothing is said."""
    assert kept_lines([]) == []


def test_one_reason_is_one_sentence() -> None:
    """Total, reason, and the layers, the largest share first."""
    kept = [Kept(layer="a", filters=24, reason=READS), Kept(layer="layer1.conv2", filters=40, reason=READS)]
    assert kept_lines(kept) == [f"64 dead filters stay because {READS}: 40 of layer1.conv2 and 24 of a"]


def test_one_filter() -> None:
    """One of them stays, or would."""
    kept = [Kept(layer="a", filters=1, reason=READS)]
    assert kept_lines(kept) == [f"1 dead filter stays because {READS}: 1 of a"]
    assert kept_lines(kept, verb="would stay") == [f"1 dead filter would stay because {READS}: 1 of a"]


def test_nodes_of_one_reason_are_added_up() -> None:
    """Layers that stay for one reason are one line, however many nodes it holds at."""
    kept = [Kept(layer=f"l{n}", filters=n, reason="zero padding", nodes=(f"n{n}", "last")) for n in (1, 2, 3)]
    assert kept_lines(kept) == ["6 dead filters stay because zero padding (n1 and 3 more): 3 of l3, 2 of l2 and 1 more"]


def test_many_reasons_are_cut() -> None:
    """Five lines, and how many filters are left for how many reasons."""
    kept = [Kept(layer="a", filters=1000 - n, reason=f"node {n} reads them") for n in range(8)]
    first, *lines, last = kept_lines(kept)
    assert first == "7,972 dead filters stay:"
    assert lines[0] == "  1,000 because node 0 reads them: 1,000 of a"
    assert len(lines) == 5
    assert last == "  and 2,982 more for 3 other reasons; --json lists all"


def test_names_are_cut_and_harmless() -> None:
    """A long name takes no line of its own, and no control character reaches the terminal."""
    (line,) = kept_lines([Kept(layer="x" * 300 + "\x1b[2J", filters=2, reason="node n reads them")])
    assert len(line) < 120
    assert "\x1b" not in line


def test_what_the_page_shows(resnet56: Pruned) -> None:
    """The page on checkpoints shows what is printed of the ResNet56."""
    page = (Path(__file__).parents[2] / "docs" / "checkpoint-to-onnx.md").read_text(encoding="utf-8")
    lines = kept_lines(resnet56.report.kept)
    assert lines
    assert "\n".join(["```text", *lines, "```"]) in page
