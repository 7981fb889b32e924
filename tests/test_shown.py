"""The package from Python: what it offers, and how reports show themselves."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

import swp_export
from swp_export.command_line.shown_reports import TABLES, WARNINGS
from swp_export.shown import Shown
from swp_export.training.log import TrainingLog
from swp_export.verification.comparison import CaseResult
from swp_export.verification.report import VerificationReport

LOG = TrainingLog(
    file="runs/a/log.jsonl",
    epochs=tuple(
        {
            "epoch": n,
            "loss": 2.0 - n,
            "accuracy": 50.0,
            "test_loss": 1.0,
            "test_accuracy": 60.0,
            "live_stripes": {"[conv]": 9},
        }
        for n in range(2)
    ),
)
REPORTS = [kind for kind in map(swp_export.__getattr__, swp_export.__all__) if hasattr(kind, "to_json")]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Unknown(Shown):
    """A report that nobody draws."""

    model: str
    ratio: float = 1.5766298886105794
    layers: tuple[int, ...] = (1, 2, 3)
    accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what no command prints."""
        return {"command": "unknown"}


def test_the_package_lists_its_names_before_it_imports_them() -> None:
    """`import swp_export` and what completion asks of it import neither torch, onnxruntime nor rich."""
    code = (
        "import sys, swp_export\n"
        "assert {'prune', 'PruneReport', 'NotEquivalentError', 'nn', '__version__'} <= set(dir(swp_export))\n"
        "assert swp_export.__version__ and swp_export.SwpExportError\n"
        "print([name for name in ('torch', 'onnxruntime', 'rich') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_of_the_package_exists() -> None:
    """Whatever the package lists is there, under its own name."""
    for name in swp_export.__all__:
        found = getattr(swp_export, name)
        assert name in {"nn", "__version__"} or found.__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'prun'"):
        swp_export.__getattr__("prun")


def test_every_report_has_tables_and_a_short_line() -> None:
    """Each report of the package shows itself, by tables that the program prints."""
    assert set(REPORTS) == set(TABLES) >= set(WARNINGS)
    assert all(issubclass(kind, Shown) and kind.__repr__ is Shown.__repr__ for kind in REPORTS)


def test_print_shows_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`print`, rich and a notebook show a report as its tables, `repr` as one short line."""
    monkeypatch.setenv("COLUMNS", "80")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(LOG)
    html = LOG._repr_html_()
    for shown in (str(LOG), console.export_text(), html):
        assert "runs/a/log.jsonl: 2 epochs" in shown
        assert "Accuracy on the test set" in shown
        assert "[conv]" in shown
    assert max(map(len, str(LOG).splitlines())) <= 80
    assert html.startswith("<pre")
    assert repr(LOG) == "TrainingLog(file='runs/a/log.jsonl', epochs=<2>)"


def test_a_report_tells_what_the_program_says_beside_it() -> None:
    """Notes, and that two networks differ, which the program says on standard error, stand above the tables."""
    case = CaseResult(
        case="noise",
        input_shape=(1, 3, 8, 8),
        output="output",
        max_abs_error=0.5,
        budget=0.1,
        reference_error=0.01,
        elements=10,
        exceeding=2,
        worst=(0, 3),
    )
    report = VerificationReport(model="a.onnx", reference="b.onnx", cases=(case,), notes=("only one input",))
    lines = str(report).splitlines()
    assert lines[0].startswith("Warning: not equivalent: output 'output' on noise")
    assert "Warning: only one input" in lines
    assert any("a.onnx against b.onnx" in line for line in lines)


def test_a_report_that_nobody_draws_is_its_short_line() -> None:
    """An unknown report is one line everywhere: numbers short, collections by their length, nothing of None."""
    report = Unknown(model="m" * 60)
    line = f"Unknown(model='{'m' * 37}...', ratio=1.57663, layers=<3>)"
    assert repr(report) == line
    assert " ".join(str(report).split()) == line
    assert line.split("'")[1] in report._repr_html_()
