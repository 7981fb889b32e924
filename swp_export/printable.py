"""Names and texts of files, safe to show: control characters are spelled out, and what is too long is cut."""

from __future__ import annotations

import unicodedata

LONGEST = 200
"""Characters of a name in a table; what is longer is cut in its middle."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that a terminal obeys or hides: controls, directions, halves of pairs, line separators."""


def printable(text: str, *, longest: int | None = None) -> str:
    r"""Return `text` with each character that a terminal would obey or hide spelled as `\x1b` or `\u202e`.

    Args:
        text: any text; line breaks are spelled too.
        longest: characters that are left; the middle of a longer text becomes "…".

    """
    if longest is not None and len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[: longest - 1 - half]}…{text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
