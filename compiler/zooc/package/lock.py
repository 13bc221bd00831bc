"""One compile at a time into one place."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["locked"]


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock file `.NAME.zooc-lock` beside `directory`; a lock dies with its process.

    Raises:
        ZoocError: Z0604, another process holds it.
        OSError: the file cannot be created.
    """
    path = directory.with_name(f".{directory.name}.zooc-lock")
    handle = _acquire(path)
    if handle is None:
        raise ZoocError(
            error(
                "Z0604",
                f"another compile is writing {directory}",
                hint="wait for it to end, or choose another folder with -o",
            )
        )
    try:
        yield
    finally:
        # Removed while held, so that nobody can get hold of a file about to vanish unnoticed (see _acquire).
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _acquire(path: Path) -> int | None:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
        except BlockingIOError:
            os.close(handle)
            return None
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # the holder before us removed this very file: try with the next


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
