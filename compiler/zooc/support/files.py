"""Writing a file that the user named: whole or not at all, and never over another by surprise."""

from __future__ import annotations

import os
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc_runtime.support.files import written_whole

__all__ = ["refuse_existing", "write_file"]


def refuse_existing(path: Path, *, force: bool, code: str, begins: bytes = b"") -> None:
    """Check that `path` can be written without a surprise.

    Args:
        path: what will be written.
        force: replace a file that is there.
        code: the code of the refusal without `force`.
        begins: what every file of this kind begins with; others, unless empty, are not replaced even with
            `force`.

    Raises:
        ZoocError: `code`, there is a file and `force` is not given; Z0702, there is a folder or a file of
            another kind, or the path cannot be looked at.
    """
    try:
        folder = path.is_dir()
        stranger = force and bool(begins) and path.is_file() and not _begins(path, begins)
    except OSError as problem:
        raise _unwritable(path, problem) from None
    if folder:
        raise ZoocError(error("Z0702", f"cannot write {path}: it is a folder", hint="name a file"))
    if os.path.lexists(path) and not force:
        hint = "name another file, or replace it with --force"
        raise ZoocError(error(code, f"{path} exists already", hint=hint))
    if stranger:
        message = f"cannot write {path}: there is a file of another kind, which is never replaced"
        raise ZoocError(error("Z0702", message, hint="name another file, or delete this one by hand"))


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        found = file.read(len(start))
    return found in (b"", start)


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
