"""Reading a file that somebody else wrote, whole and once."""

from __future__ import annotations

import stat
from pathlib import Path


def read_bytes(path: str | Path) -> bytes:
    """Return the content of the regular file `path`.

    A pipe would be waited for, and a device may have no end.

    Raises:
        OSError: it cannot be read, or is no regular file; `strerror` says which.

    """
    path = Path(path)
    require_regular(path)
    return path.read_bytes()


def require_regular(path: Path) -> None:
    """Check that `path` is no pipe and no device.

    Raises:
        OSError: as `read_bytes`.

    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder has an error of its own
        raise OSError(None, "it is a pipe or a device, not a regular file")
