"""One run at a time into one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import PackageError
from .files import make_folder

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `.NAME.zooc-lock` beside `path`; a lock ends with its process.

    Raises:
        PackageError: another process holds it, or the file cannot be made.
    """
    make_folder(path.absolute().parent)
    lock = path.absolute().with_name(f".{path.name}.zooc-lock")
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise PackageError(
                f"{lock}: cannot be written ({error.strerror}); check the permissions"
            ) from None
        try:
            _take(handle)
            if _is_open_at(handle, lock):
                break
        except OSError:
            os.close(handle)
            raise PackageError(
                f"{path}: another run is writing it; wait for it to end, or name another file"
            ) from None
        os.close(handle)  # its owner has removed it since it was opened
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; the next run takes it over
            lock.unlink()
        os.close(handle)


def _is_open_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _take(handle: int) -> None:
    """Lock an open file.

    Raises:
        OSError: another process has.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
