"""Reading documents, right and wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from swp_export.errors import InputError
from swp_export.page.documents import Document, documents_from, read_documents

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_read_in_their_order(tmp_path: Path, pruned: dict[str, Any], measured: dict[str, Any]) -> None:
    """A document knows its command and its place."""
    for name, content in (("p.json", pruned), ("b.json", measured)):
        (tmp_path / name).write_text(json.dumps(content))
    documents = read_documents([tmp_path / "b.json", tmp_path / "p.json"])
    assert [(each.command, each.number) for each in documents.all] == [("bench", 0), ("prune", 1)]
    assert documents.first("inspect", "prune") == documents.all[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "it names no command"),
        ('{"command": "doctor"}', "it says command 'doctor'"),
        ('{"command": ["prune"]}', "it names no command"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, why: str) -> None:
    """What is no document of ours is named with what was expected."""
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=why):
        read_documents([tmp_path / "x.json"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path and the reason."""
    with pytest.raises(InputError, match=r"none\.json cannot be read: No such file"):
        read_documents([tmp_path / "none.json"])


def test_a_path_leads_to_a_figure() -> None:
    """Names and list positions, joined by dots; what is not there is None."""
    document = Document(command="prune", content={"layers": [{"n": 3}]})
    assert document.at("layers.0.n") == 3
    assert document.at("layers.1.n") is None
    assert document.at("layers.0.n.x") is None


def test_documents_need_no_file(pruned: dict[str, Any]) -> None:
    """Reports in memory do as well."""
    assert documents_from([pruned]).all[0].command == "prune"
