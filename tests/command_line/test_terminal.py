"""What a command shows, in narrow and wide terminals, in colours and without, through pipes and in silence."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from swp_export.cli import cli
from swp_export.command_line import names
from swp_export.command_line.progress import progress
from swp_export.command_line.prune_table import prune_tables
from swp_export.command_line.table import new_table
from swp_export.command_line.terminal import print_data
from swp_export.command_line.verify_table import verify_tables
from swp_export.pruning.report import PrunedLayer, PruneReport, Totals
from swp_export.verification.comparison import CaseResult
from swp_export.verification.report import VerificationReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import RenderableType

LONG = "features.denseblock4.denselayer16.conv2"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def case(**changes: object) -> CaseResult:
    """Return a comparison that is within its budget, with `changes`."""
    values: dict[str, object] = {
        "case": "noise times 1000",
        "input_shape": (4, 3, 224, 224),
        "output": "y",
        "max_abs_error": 1.9e6,
        "budget": 2.5e6,
        "reference_error": 0.00012,
        "elements": 4000,
        "exceeding": 0,
        "worst": (0, 0),
    }
    return CaseResult(**values | changes)  # type: ignore[arg-type]


def verification(*cases: CaseResult) -> VerificationReport:
    """Return a report on `cases`."""
    return VerificationReport(model="small.onnx", reference="best.pth.tar as it computes", cases=cases)


def pruned() -> PruneReport:
    """Return a report on two layers, one of a long name."""
    layers = tuple(
        PrunedLayer(
            name=name,
            filters=512,
            live_filters=140,
            stripes=4608,
            live_stripes=250,
            filter_shapes=(),
            kernel=(3, 3),
            params_before=2_359_808,
            params_after=23_000,
            flops_before=18_870_000,
            flops_after=1_000_000,
            paper_flops=18_870_000,
            lowering="pad-slice-add",
            reason="5.2x less work",
        )
        for name in ("features.40", LONG)
    )
    totals = Totals(
        params_before=14_719_818,
        params_after=153_168,
        helper_params=0,
        flops_before=626_400_000,
        flops_after=29_880_000,
        executed_flops=29_940_000,
        paper_params_before=14_724_042,
        paper_params_after=152_318,
        paper_flops_before=626_400_000,
        paper_flops_after=20_010_000,
    )
    return PruneReport(
        model="small.onnx",
        bytes=700_000,
        sha256="0" * 64,
        source="best.pth.tar",
        architecture="VGG16",
        threshold=0.01,
        threshold_error=None,
        layers=layers,
        kept=(),
        totals=totals,
        verification=verification(case()),
        counted_gain_of_auto=None,
        dense=None,
        warnings=(),
    )


def shown(tables: Iterable[RenderableType], width: int, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    """Return what `stream`, `width` columns wide, receives of `tables`."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", stream)
    print_data(tables)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_pruned_layers_fit_and_keep_their_names(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns the longest name of a DenseNet is whole, in one line, and the caption says what that cost."""
    lines = shown(prune_tables(pruned()), width, monkeypatch, io.StringIO()).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith(LONG) for line in lines)
    assert any(line.startswith("features.40") and "250/4608  5.4 %  pad-slice-add" in line for line in lines)
    assert any("No room for: Because, MFLOPs" in line for line in lines) == (width == 80)
    assert any(line.rstrip().endswith("18.87") for line in lines) == (width == 120)


def test_the_summary_comes_before_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved, the file and what was proved of it stand above the first layer."""
    text = shown(prune_tables(pruned()), 80, monkeypatch, io.StringIO())
    order = [text.index(part) for part in ("Parameters in the file", "0.70 MB", "equivalent on", "features.40")]
    assert order == sorted(order)


def test_figures_are_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of millions is spelled out, in the table and in the line that sums it up."""
    text = shown(verify_tables(verification(case())), 80, monkeypatch, io.StringIO())
    assert text.count("1,900,000") == 2
    assert "e+" not in text


def test_the_caption_says_which_budget_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tolerances of the user's own nothing is said of the default budget."""
    own = shown(verify_tables(verification(case()), atol=0.5, rtol=0.001), 80, monkeypatch, io.StringIO())
    assert "Budget: 0.5 + 0.001 * |value|, as asked for" in own
    assert "rounding" not in own
    assert "what rounding explains" in shown(verify_tables(verification(case())), 80, monkeypatch, io.StringIO())


def test_a_false_result_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the two differ the line that says so is the error; the table alone goes to standard output."""
    report = verification(case(max_abs_error=2.6e6, exceeding=17))
    text = shown(verify_tables(report), 80, monkeypatch, io.StringIO())
    assert "17 of 4,000 off" in text
    assert "equivalent" not in text


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours, NO_COLOR and a pipe get none."""
    tables = [verify_tables(verification(case(max_abs_error=2.6e6, exceeding=17)))[-1]]
    assert "\x1b[31m" in shown(tables, 80, monkeypatch, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown(tables, 80, monkeypatch, Terminal())
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b" not in shown(tables, 80, monkeypatch, io.StringIO())


def test_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """For grep a sentence is one line, however long; a terminal gets it broken between words."""
    sentence = "equivalent " * 20
    monkeypatch.delenv("COLUMNS", raising=False)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    print_data([sentence])
    assert pipe.getvalue() == f"{sentence}\n"
    narrow = shown([sentence], 80, monkeypatch, io.StringIO())
    assert all(set(line.split()) == {"equivalent"} for line in narrow.splitlines())


def test_optional_columns_go_from_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many go as must, and the caption names them; what is not optional stays."""
    table = new_table("Title", "~Name", ">?First", ">?Second", caption="Caption")
    table.add_row("n" * 70, "1" * 8, "2" * 8)
    assert "1" * 8 in shown([table], 120, monkeypatch, io.StringIO())
    lines = shown([table], 80, monkeypatch, io.StringIO())
    assert "Caption. No room for: Second" in lines
    assert "1" * 8 in lines
    assert "No room for: First, Second" in shown([table], 72, monkeypatch, io.StringIO())


def test_a_terminal_gets_a_bar_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share that is done and the stage are drawn, and all of it is gone at the end."""
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(measuring=True) as show:
        show("reading [b]best.pth[/b]")
        show("measuring: batch 1", 0.25)
        show("measuring: batch 8", 0.5)
    drawn = stream.getvalue()
    for part in ("reading [b]best.pth[/b]", "measuring: batch 8", "25%", "50%", "left"):
        assert part in drawn
    assert drawn.endswith("\x1b[?25h") or "\x1b[2K" in drawn.rpartition("50%")[2]


def test_a_pipe_gets_a_line_per_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there are no bars, no escapes, and each stage is told once."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress() as show:
        for number in range(5):
            show(f"verifying: case {number}", number / 5)
        show("comparing")
    assert stream.getvalue() == "verifying\ncomparing\n"


@pytest.mark.parametrize("arguments", [["--quiet", "work"], ["-q", "work"]])
def test_quiet_tells_no_progress(arguments: list[str]) -> None:
    """`--quiet` leaves nothing on standard error but warnings and errors."""

    @click.command()
    def work() -> None:
        with progress() as show:
            show("working")

    for quiet in (True, False):
        group = click.Group(params=cli.params, commands={"work": work})
        result = CliRunner().invoke(group, arguments if quiet else ["work"])
        assert result.exit_code == 0
        assert result.stderr == ("" if quiet else "working\n")


def test_quiet_stands_before_or_behind_a_command(tmp_path: Path) -> None:
    """Both are understood, and change no result."""
    log = tmp_path / "log.jsonl"
    log.write_text("no record\n")
    results = [CliRunner().invoke(cli, line) for line in (["-q", "inspect", str(log)], ["inspect", "-q", str(log)])]
    assert {result.exit_code for result in results} == {2}


def test_the_names_that_complete_are_those_there_are() -> None:
    """Names of networks, forms and data sets stand in the light modules as in those that need torch and onnx."""
    from swp_export.architectures import ARCHITECTURES
    from swp_export.lowerings import LOWERINGS
    from swp_export.training.datasets import DATASETS

    assert tuple(ARCHITECTURES) == names.ARCHITECTURES
    assert tuple(LOWERINGS) == names.LOWERINGS
    assert tuple(DATASETS) == names.DATASETS


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        ("swp-export prune --lowering", "pad", ["plain,pad-slice-add"]),
        ("swp-export train --arch", "resnet1", ["plain,ResNet110", "plain,ResNet18"]),
        ("swp-export train --dataset", "fash", ["plain,fashion-mnist"]),
        ("swp-export bench", "sm", ["file,sm"]),
        ("swp-export", "ver", ["plain,verify"]),
    ],
)
def test_the_shell_completes(words: str, typed: str, offered: list[str]) -> None:
    """Names of forms, networks and data sets, files, and commands."""
    environment = {
        "_SWP_EXPORT_COMPLETE": "bash_complete",
        "COMP_WORDS": f"{words} {typed}",
        "COMP_CWORD": str(len(words.split())),
    }
    result = CliRunner(env=environment).invoke(cli, [], prog_name="swp-export")
    assert result.stdout.splitlines() == offered


def test_tables_are_drawn_in_ascii_where_they_must() -> None:
    """A console that is not a Unicode one gets lines of ASCII."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    table = new_table("Title", "~Name")
    table.add_row("conv1")
    Console(file=stream, width=80).print(table)
    stream.flush()
    assert b"conv1" in stream.buffer.getvalue()  # type: ignore[attr-defined]
