"""What a file says is shown, and steers nothing."""

import io

import pytest
from rich.table import Table

from swp_export.command_line import terminal
from swp_export.command_line.progress import progress
from swp_export.printable import printable

NASTY = "a\x1b[31mb\r\n\x07\u202ec\u2028\x9b\ud800"
SPELLED = r"a\x1b[31mb\x0d\x0a\x07\u202ec\u2028\x9b\ud800"


def test_controls_are_spelled() -> None:
    """Escapes, line breaks, directions and halves of pairs are spelled; letters of any script stay."""
    assert printable(NASTY) == SPELLED
    assert printable("größe 层 é/conv") == "größe 层 é/conv"


def test_a_long_name_is_cut_in_its_middle() -> None:
    """Both ends stay, which tell names apart."""
    assert printable("a" * 50 + "b" * 50, longest=11) == "aaaaa…bbbbb"


def test_tables_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a cell, a title, a line nor a stage of the progress holds a control character or a name without end."""
    table = Table(title=NASTY)
    table.add_column("Name")
    table.add_row(NASTY)
    table.add_row("x" * 10_000)
    terminal.print_data([table])
    terminal.print_data([NASTY])
    with progress() as show:
        show(NASTY)
    out, err = capsys.readouterr()
    assert all(character.isprintable() or character == "\n" for character in out + err)
    assert SPELLED in out
    assert out.count("x") < 300


def test_a_closed_standard_error_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remarks that nobody can read are not written."""
    closed = io.StringIO()
    closed.close()
    closed.isatty = lambda: False  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", closed)
    with progress() as show:
        show("reading")
