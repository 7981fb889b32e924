"""The notebook and the page about Python keep their word: every cell and every block runs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = json.loads((ROOT / "examples" / "skeletons.ipynb").read_text(encoding="utf-8"))


def shown_by(cell: str, names: dict[str, Any]) -> object:
    """Run `cell` as a notebook does, and return the value of its last line if that is an expression."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "skeletons.ipynb", "exec"), names)  # noqa: S102 # what the notebook says
    return None if last is None else eval(ast.unparse(last), names)  # noqa: S307


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell runs beside the models; reports show their tables, and those with layers their skeletons drawn."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "examples")
    names: dict[str, Any] = {}
    code = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    shown = [value for cell in code if hasattr(value := shown_by(cell, names), "_repr_html_")]
    assert [type(report).__name__ for report in shown] == ["InspectReport", "PruneReport", "BenchReport"]
    drawn = [report._repr_html_() for report in shown]
    assert all(html.startswith("<pre") for html in drawn)
    assert [html.count('class="heat"') for html in drawn] == [21, 21, 0]
    assert "layer1.0.conv1" in drawn[1]


def test_the_notebook_holds_no_outputs() -> None:
    """Nothing of a run is kept: neither outputs nor counters, and every cell has its own name."""
    assert NOTEBOOK["nbformat"] == 4
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    for cell in NOTEBOOK["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_block_about_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block of docs/python.md runs after those before it, in a checkout."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S):
        exec(compile(block, "python.md", "exec"), names)  # noqa: S102 # what the page says
    said = capsys.readouterr().out
    assert "Parameters in the file" in said
    assert "ResNet20" in said
    assert "measuring batch 1: 100%" in said
