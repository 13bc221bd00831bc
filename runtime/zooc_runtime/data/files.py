"""Files on this machine and at addresses, read alike."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import PackageError, SourceError
from . import remote
from .place import is_remote, shown

__all__ = ["MOST_BYTES", "describe", "open_file", "read_file", "read_range"]

MOST_BYTES = 256 << 20
"""Of one image file: larger ones are refused, in an archive too, before they are read or inflated."""

_BLOCK = 1 << 20
"""Bytes of a request while an archive's table is read."""


def describe(place: str) -> tuple[int, str]:
    """Return a file's size in bytes (-1 if unknown) and its stamp, which changes when the file does.

    Raises:
        SourceError: there is no such file, or it cannot be looked at.
    """
    if is_remote(place):
        return remote.describe(place)
    try:
        status = os.stat(place)  # noqa: PTH116 - a list may have 50,000 lines
    except OSError as problem:
        raise _unreadable(place, problem) from None
    return status.st_size, str(status.st_mtime_ns)


def read_file(place: str, size: int = -1) -> bytes:
    """Return a file's bytes.

    Args:
        place: where it is.
        size: what the listing says, -1 if it does not.

    Raises:
        SourceError: the host does not answer.
        PackageError: the file cannot be read, or has more than `MOST_BYTES`.
    """
    if size > MOST_BYTES:
        raise PackageError(f"{shown(place)}: {size >> 20} MiB are no image; leave it out")
    if is_remote(place):
        return remote.read(place, MOST_BYTES)
    try:
        with Path(place).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as problem:
        raise PackageError(str(_unreadable(place, problem))) from None
    if len(content) > MOST_BYTES:
        raise PackageError(f"{place}: more than {MOST_BYTES >> 20} MiB are no image; leave it out")
    return content


def read_range(place: str, offset: int, size: int) -> bytes:
    """Return `size` bytes of a file from `offset` on; fewer where it ends.

    Raises:
        SourceError: it cannot be read.
    """
    if is_remote(place):
        return remote.read_range(place, offset, size) if size else b""
    try:
        with Path(place).open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as problem:
        raise _unreadable(place, problem) from None


@contextmanager
def open_file(place: str) -> Iterator[BinaryIO]:
    """Give a file to read and seek in.

    Raises:
        SourceError: it cannot be read.
    """
    if not is_remote(place):
        try:
            file = Path(place).open("rb")  # noqa: SIM115 - closed below; what the block raises is its own
        except OSError as problem:
            raise _unreadable(place, problem) from None
        with file:
            yield file
        return
    size, _ = remote.describe(place)
    if size < 0:
        raise SourceError(f"{shown(place)}: the server does not tell its size; download it first")
    with io.BufferedReader(_RemoteFile(place, size), _BLOCK) as reader:
        yield reader


class _RemoteFile(io.RawIOBase):
    """A file at an address, a request for each piece that is read."""

    def __init__(self, address: str, size: int) -> None:
        super().__init__()
        self._address = address
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max({io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        wanted = max(min(len(view), self._size - self._at), 0)
        content = remote.read_range(self._address, self._at, wanted) if wanted else b""
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def _unreadable(place: str, problem: OSError) -> SourceError:
    if isinstance(problem, FileNotFoundError):
        return SourceError(f"{place}: no such file; check the path")
    return SourceError(f"{place}: cannot be read ({problem.strerror or problem}); check its permissions")
