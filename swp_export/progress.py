"""How the commands' functions tell what they are doing: one signature for all of them."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told what is being done, and where that is known how much of it is done.

    `text` says it in a few words: a stage and, behind a colon, a part of it. `done` is a share, 0 to 1, of what the
    command does in one go: where it falls back, or is None, something else has begun.
    """

    def __call__(self, text: str, done: float | None = None, /) -> None:
        """Take note."""


def under(progress: Progress, stage: str) -> Progress:
    """Return what tells `progress` of the parts of `stage`."""
    return lambda text, done=None, /: progress(f"{stage}: {text}", done)


def silent(_text: str, _done: float | None = None, /) -> None:
    """Take no note."""
