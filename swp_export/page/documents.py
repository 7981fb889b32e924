"""The JSON documents of the commands, as the page reads them."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from swp_export.errors import InputError
from swp_export.input_file import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

COMMANDS = ("inspect", "prune", "tune", "bench", "verify", "sweep", "check", "train")
"""Whose documents the page shows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """A JSON document of a command.

    Attributes:
        command: that printed it.
        content: the document.
        number: its place among the documents of a page; figures on the page name it.
        within: where it lies, if it is part of that document: a sweep holds what `prune` says of the model it wrote.

    """

    command: str
    content: dict[str, Any]
    number: int = 0
    within: str = ""

    def source(self, path: str) -> str:
        """Return where the figure at `path` lies, as the page states it."""
        return f"{self.number}:{self.within}{path}"

    def at(self, path: str) -> Any:
        """Return what lies at `path`, names and list positions joined by dots; None where there is nothing."""
        found: Any = self.content
        for key in path.split("."):
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                found = found.get(key) if isinstance(found, dict) else None
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Documents:
    """The documents of one page, in the order in which they were given."""

    all: tuple[Document, ...]

    def of(self, command: str) -> list[Document]:
        """Return those of `command`."""
        return [document for document in self.all if document.command == command]

    def first(self, *commands: str) -> Document | None:
        """Return the first of the first of `commands` that has one."""
        return next((document for command in commands for document in self.of(command)), None)


def documents_from(contents: Sequence[dict[str, Any]]) -> Documents:
    """Return the documents of reports' `to_json()`.

    Raises:
        InputError: one is none that the page shows.

    """
    return _with_parts(_document(content, f"document {n}", n) for n, content in enumerate(contents))


def read_documents(paths: Sequence[Path | str]) -> Documents:
    """Read what commands printed with `--json`.

    Raises:
        InputError: a file cannot be read, or holds no such document.

    """
    return _with_parts(_document(_parsed(path), str(path), n) for n, path in enumerate(paths))


def _with_parts(documents: Iterable[Document]) -> Documents:
    found: list[Document] = []
    for document in documents:
        found.append(document)
        written = document.at("written") if document.command == "sweep" else None
        if written is not None:
            found.append(Document(command="prune", content=written, number=document.number, within="written."))
    return Documents(all=tuple(found))


def _parsed(path: Path | str) -> Any:
    try:
        return json.loads(read_bytes(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: expected what a command of swp-export prints with --json") from error


def _document(content: Any, label: str, number: int) -> Document:
    command = content.get("command") if isinstance(content, dict) else None
    if command not in COMMANDS:
        found = f"it says command {command!r}" if isinstance(command, str) else "it names no command"
        raise InputError(
            f"{label} is no document that a page can be made of: {found}; expected what one of "
            f"{', '.join(COMMANDS)} prints with --json"
        )
    return Document(command=command, content=content, number=number)
