"""Finds the files and folders that a description names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from zooc.diagnostics import Diagnostic, Span, error, warning
from zooc.frontend.suggest import did_you_mean

__all__ = ["find_path"]


def find_path(  # noqa: PLR0911 - one return a case
    text: str,
    span: Span,
    what: str,
    *,
    base: Path,
    folder: bool,
    check: bool,
    report: Callable[[Diagnostic], None],
    cache: Path | None = None,
    if_missing: str | None = None,
) -> Path | None:
    """The absolute path that `text` names relative to `base`.

    Args:
        text: as written; a leading `~` is the home folder.
        span: where it stands.
        what: the thing's name in messages.
        base: what relative paths are relative to.
        folder: whether it must be a folder rather than a file.
        check: whether it must exist.
        report: takes the finding.
        if_missing: what is not there is a warning with this note, and its path the answer all the same.
        cache: a folder where a file named without one is looked for too.
    """
    if not text or "\0" in text:
        problem = "is empty" if not text else "holds a NUL character"
        report(error("Z0119", f"the path of {what} {problem}", span))
        return None
    try:
        path = Path(os.path.normpath(base / Path(text).expanduser()))
        if not check:
            return path
        if cache is not None and Path(text).name == text and not path.exists() and (cache / text).is_file():
            return cache / text
        exists, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        report(error("Z0119", f"cannot look at {what}: {reason}", span))
        return None
    if is_folder if folder else is_file:
        return path
    if exists:
        wanted = "a folder" if folder else "a file"
        report(error("Z0119", f'{what} "{text}" is not {wanted}', span))
        return None
    notes = () if Path(text).is_absolute() else ("paths are relative to the .zoo file",)
    hint = _near(path)
    message = f'{what} "{text}" does not exist'
    if if_missing is not None:
        report(warning("Z0119", message, span, notes=(*notes, if_missing), hint=hint))
        return path
    report(error("Z0119", message, span, notes=notes, hint=hint))
    return None


def _near(path: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())[:1000]
    except OSError:
        return f"the folder `{path.parent.name}` does not exist either"
    return did_you_mean(path.name, names, cutoff=0.75)
