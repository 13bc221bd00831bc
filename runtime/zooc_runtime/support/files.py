"""Files that appear whole or not at all, and texts a line an entry."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import PackageError

__all__ = [
    "PART",
    "check_listable",
    "make_folder",
    "read_lines",
    "refuse_special",
    "replacing",
    "written_whole",
]

PART = ".part"
"""Suffix of files being written; one that lies about was left by a run that was killed."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the place of `path` once the block has ended without an exception.

    A file that is replaced hands its permissions on.

    Raises:
        OSError: the disk or the permissions do not allow it; `path` is then as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            yield file
        with suppress(OSError):
            part.chmod(path.stat().st_mode & 0o7777)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, as `written_whole` does.

    Raises:
        PackageError: the disk or the permissions do not allow it; `path` is then as it was.
    """
    try:
        with written_whole(path) as file:
            yield file
    except OSError as error:
        raise PackageError(
            f"{path}: cannot be written ({error.strerror}); check the folder, the disk and permissions"
        ) from None


def make_folder(folder: Path) -> None:
    """Make a folder and those around it.

    Raises:
        PackageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PackageError(
            f"{folder}: cannot be created ({error.strerror}); choose another folder or check the permissions"
        ) from None


def refuse_special(path: Path, *, pipes: bool = False) -> None:
    """Refuse a device, a socket or a pipe, which may never end; what is not there is left to who opens it.

    Args:
        path: what shall be read.
        pipes: whether a pipe will do, as a shell gives one for `<(command)`.

    Raises:
        PackageError: naming it.
        OSError: it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (pipes and stat.S_ISFIFO(mode))):
        raise PackageError(f"{path}: is a pipe, a socket or a device, not a file; give a file")


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a text file without their line ends, UTF-8 with or without a byte order mark.

    Raises:
        PackageError: it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{os.fspath(path)}: cannot be read ({error}); check the path") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def check_listable(path: str) -> None:
    """Raise `PackageError` if a path cannot stand in a text file a line an entry."""
    if "\n" in path or "\r" in path:
        raise PackageError(f"{path!r}: a line break in a name cannot stand in a list; rename the file")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise PackageError(
            f"{path!r}: a name that is not UTF-8 cannot stand in a list; rename the file"
        ) from None
