"""One compile at a time into one place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from zooc.diagnostics.diagnostic import ZoocError, error

__all__ = ["locked"]

_PATIENCE = 0.1
"""Seconds for a second try, where the file vanishes between being opened and being locked."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock file `.NAME.zooc-lock` beside `directory`; a lock ends with its process.

    Raises:
        ZoocError: Z0604, another process holds it.
        OSError: the file cannot be created.
    """
    path = directory.with_name(f".{directory.name}.zooc-lock")
    lock = FileLock(path, timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        hint = "wait for it to end, or choose another folder with -o"
        raise ZoocError(error("Z0604", f"another compile is writing {directory}", hint=hint)) from None
    try:
        yield
    finally:
        # While it is held: whoever has opened it finds it unlinked, tries again and makes a new one.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()
