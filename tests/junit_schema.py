"""What JUnit XML must look like, by the schema beside this file."""

from __future__ import annotations

import functools
from pathlib import Path

import xmlschema


@functools.cache
def _schema() -> xmlschema.XMLSchema11:
    return xmlschema.XMLSchema11(Path(__file__).with_name("junit.xsd"))


def violations(document: str) -> list[str]:
    """Return what is wrong with a JUnit document; nothing if it is valid."""
    return [str(error.reason) for error in _schema().iter_errors(document)]
