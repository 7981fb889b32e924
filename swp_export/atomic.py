"""Writing files that are there completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from swp_export.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEVICE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a device may answer while it is written. Any other error of the body is the caller's."""


@contextlib.contextmanager
def atomic_write(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix; it becomes `path` when the body ends without exception.

    Until then `path` is untouched. The temporary file is removed after any exception, Ctrl-C included. A symbolic
    link is followed: what it points to is replaced.

    Raises:
        OutputError: `path` exists and `force` is false, or it cannot be written.

    """
    target = Path(os.path.realpath(path))
    with _translate_device_errors(target):  # a name may be too long, or its folder closed
        require_writable(target, force=force)
    temporary = target.with_name(f".swp-export-{secrets.token_hex(8)}{target.suffix}")
    try:
        with _translate_device_errors(target):
            temporary.touch(exist_ok=False)
        with _translate_device_errors(target, DEVICE_ERRORS):
            yield temporary
        with _translate_device_errors(target):
            _sync(temporary)
            require_writable(target, force=force)  # again: the body may have taken long
            temporary.replace(target)
    finally:
        # A folder that vanished or lost its permissions must not hide the error that matters.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_outputs(
    *targets: str | Path | None, inputs: Sequence[str | Path | None], force: bool
) -> Iterator[list[Path | None]]:
    """Yield a temporary path for each of a command's `targets`, None for None; see `atomic_write`.

    Raises:
        OutputError: a target is one of the command's `inputs`, which `force` does not allow either, or two are one
            file, or as `atomic_write`.

    """
    taken = {os.path.realpath(path): "an input of this command, which is never overwritten" for path in inputs if path}
    with contextlib.ExitStack() as stack:
        for target in targets:
            if target is not None and os.path.realpath(target) in taken:
                raise OutputError(f"{target} is {taken[os.path.realpath(target)]}; name another file")
            if target is not None:
                taken[os.path.realpath(target)] = "named for two outputs"
        yield [None if target is None else stack.enter_context(atomic_write(target, force=force)) for target in targets]


def require_writable(target: Path, *, force: bool) -> None:
    """Check that `target` may be written.

    Raises:
        OutputError: it is there already and `force` is false, or is no regular file.

    """
    if target.is_dir():
        raise OutputError(f"{target} is a folder, expected a file name")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target} is not a regular file and is not overwritten; name a file")
    if target.exists() and not force:
        raise OutputError(f"{target} exists already; pass --force to overwrite it, or name another file")


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _translate_device_errors(target: Path, numbers: set[int] | None = None) -> Iterator[None]:
    """Turn an OSError, one of `numbers` if given, into an OutputError about `target`."""
    try:
        yield
    except OSError as error:
        if numbers is not None and error.errno not in numbers:
            raise
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {target}: {reason}; nothing was written") from error
