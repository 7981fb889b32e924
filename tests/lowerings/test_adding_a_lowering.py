"""The page for contributors: its example is a lowering that needs no other test than its examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import test_lowerings as over_examples

from swp_export.lowerings import LOWERINGS

if TYPE_CHECKING:
    from swp_export.lowerings.lowering import Lowering

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-lowering.md"


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Lowering:
    """Return the page's lowering, in the table."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, type[Lowering]] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 (the page is ours)
    lowering = names["Halves"]()
    monkeypatch.setitem(LOWERINGS, lowering.name, lowering)
    return lowering


def test_it_passes_what_every_lowering_is_tested_for(halves: Lowering) -> None:
    """One file and one line."""
    for conv in halves.examples():
        over_examples.test_computes_the_convolution_bit_for_bit(halves, conv)
        over_examples.test_lift_gives_the_layer_back_bit_for_bit(halves, conv)
        over_examples.test_in_its_order_there_is_nothing_to_permute(halves, conv, 8)
        over_examples.test_standard_operators_and_no_negative_pads(halves, conv)
    over_examples.test_says_whether_it_permutes(halves)
    over_examples.test_reasons_are_clear(halves)


def test_it_names_every_part() -> None:
    """The page's table of helpers is the folder's."""
    listed = re.findall(r"^\| `(\w+\.py)` \|", PAGE.read_text(), re.MULTILINE)
    folder = Path(__file__).parents[2] / "swp_export" / "lowerings" / "parts"
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")
