"""Putting one file in a second place without ever losing it: by hard link, copy or move."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from zooc_runtime.errors import PackageError
from zooc_runtime.support.files import PART

__all__ = ["HOW", "How", "is_in_place", "transfer"]

How = Literal["link", "copy", "move"]
HOW: tuple[How, ...] = get_args(How)


def is_in_place(source: Path, target: Path) -> bool:
    """Tell whether `target` is there, with the content of `source` if that is there too.

    Raises:
        PackageError: `target` is something else.
    """
    if not os.path.lexists(target):
        return False
    if not source.exists() or (target.exists() and source.samefile(target)):
        return True
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return True
    raise PackageError(f"{target}: exists already and differs from {source}; nothing is replaced: remove one")


def transfer(source: Path, target: Path, how: How) -> bool:
    """Bring `source` to `target`, in a folder that exists; return whether there was something to do.

    `target` appears whole or not at all, and is never replaced. A moved file's old name goes when the new one
    is there with the same content, so that an interruption leaves at least one of them.

    Raises:
        PackageError: `target` is another file, or the disk or the permissions do not allow it.
    """
    try:
        there = is_in_place(source, target)
        if not there:
            _put(source, target, how)
        if how == "move" and source.exists():
            source.unlink()
            return True
    except OSError as error:
        raise PackageError(f"{source} -> {target}: {_remedy(error)}") from None
    return not there


def _put(source: Path, target: Path, how: How) -> None:
    """Makes `target`; a hard link fails where a name exists already, so nothing can be replaced."""
    if how != "copy":
        try:
            os.link(source, target)
        except OSError as error:
            elsewhere = error.errno in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)
            if how == "link" or not elsewhere:
                raise
        else:
            return
    part = target.with_name(f".{target.name}.{os.getpid()}{PART}")
    try:
        shutil.copy2(source, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        with suppress(OSError):
            part.unlink()


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
        return f"no hard link can be made there ({error.strerror}); use --how copy"
    return f"{error.strerror}; check the disk and permissions, then run the command again to continue"
