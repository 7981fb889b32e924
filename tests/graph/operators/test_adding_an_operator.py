"""The page for contributors shows what stands in the source."""

from __future__ import annotations

import re
from pathlib import Path

from swp_export.graph.operators import operator
from swp_export.graph.operators.table import OPERATORS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adding-an-operator.md").read_text()


def test_its_code_is_that_of_the_program() -> None:
    """Each block is part of a file of the table, letter by letter."""
    sources = [path.read_text() for path in (ROOT / "swp_export" / "graph" / "operators").glob("*.py")]
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert any(block in source for source in sources), block


def test_it_names_every_rule() -> None:
    """Its table has the rules that rows have, and the questions are the methods."""
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    kinds = {type(row.channels).__name__ for row in OPERATORS.values()}
    assert sorted(listed) == sorted(kind for kind in kinds if not kind.startswith("_"))  # others are one operator's own
    questions = [name for name in vars(operator.ChannelRule) if not name.startswith("_")]
    assert [name for name in questions if f"`{name}`" not in PAGE] == []
