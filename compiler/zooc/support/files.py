"""Writing a file that the user named: whole or not at all, and never over another by surprise."""

from __future__ import annotations

import os
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.support.files import written_whole

__all__ = ["refuse_existing", "write_file"]


def refuse_existing(path: Path, *, force: bool, code: str) -> None:
    """Check that `path` can be written without a surprise.

    Raises:
        ZoocError: `code`, there is a file and `force` is not given; Z0702, there is a folder, or the path
            cannot be looked at.
    """
    try:
        folder = path.is_dir()
    except OSError as problem:
        raise _unwritable(path, problem) from None
    if folder:
        raise ZoocError(error("Z0702", f"cannot write {path}: it is a folder", hint="name a file"))
    if os.path.lexists(path) and not force:
        hint = "name another file, or replace it with --force"
        raise ZoocError(error(code, f"{path} exists already", hint=hint))


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file, complete or not at all; its folder is made where it is missing.

    Raises:
        ZoocError: Z0702, it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as problem:
        raise _unwritable(path, problem) from None


def _unwritable(path: Path, problem: OSError) -> ZoocError:
    reason = problem.strerror or str(problem)
    hint = "check the folder, its permissions and the disk"
    return ZoocError(error("Z0702", f"cannot write {path}: {reason}", hint=hint))
