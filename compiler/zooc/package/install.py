"""Puts files into place all at once: a temporary sibling folder, then a rename; all or nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.lock import locked

__all__ = ["check_place", "place", "unknown_entry"]

_DISTRIBUTION = frozenset({"README.md", "pyproject.toml", "report.html", "report.json"})
_LEFT_BY_TOOLS = frozenset({"build", "dist", "__pycache__", ".mypy_cache", ".ruff_cache", ".DS_Store"})


def place(
    files: Mapping[str, bytes],
    directory: Path,
    *,
    force: bool,
    foreign: Callable[[Path], str | None] | None = None,
) -> None:
    """Make `directory` hold exactly `files` (relative POSIX paths), modes 0644 and 0755 whatever the umask.

    Either all of it succeeds, or `directory` is as it was. What killed runs left beside it is cleared away.

    Args:
        files: the contents by relative path.
        directory: absent, empty, or with `force` a folder that zooc wrote.
        force: replace what zooc wrote.
        foreign: names an entry of a folder that zooc did not write, gives `None` for one that it did; by
            default such a folder holds a package.

    Raises:
        ZoocError: Z0601 there is a package and no `force`, Z0602 there is something else, Z0603 no place for
            a folder, Z0604 another compile is at it, Z0605 not writable, Z0606 no space.
    """
    created: list[Path] = []
    try:
        with _reported(directory):
            _make_parents(directory, created)
            with locked(directory):
                _check_replaceable(directory, force=force, foreign=foreign or unknown_entry)
                _place(files, directory)
    except BaseException:
        for parent in reversed(created):
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def check_place(directory: Path, *, force: bool) -> None:
    """What `place` would refuse to replace, found without writing.

    Raises:
        ZoocError: Z0601, Z0602, Z0603, Z0605.
    """
    with _reported(directory):
        _check_replaceable(directory, force=force, foreign=unknown_entry)
        around = next(parent for parent in directory.parents if parent.exists())
        if not around.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(around))
        if not os.access(around, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(around))


def _place(files: Mapping[str, bytes], directory: Path) -> None:
    for stale in directory.parent.glob(f".{_escaped(directory.name)}.zooc-new-*"):
        shutil.rmtree(stale, ignore_errors=True)
    mark = secrets.token_hex(4)
    new = directory.with_name(f".{directory.name}.zooc-new-{mark}")
    old = directory.with_name(f".{directory.name}.zooc-old-{mark}")
    try:
        _write(files, new)
        _swap(new, directory, old)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for stale in directory.parent.glob(f".{_escaped(directory.name)}.zooc-old-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    for name, data in files.items():
        path = folder / name
        for parent in reversed(path.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            (folder / parent).chmod(0o755)
        path.write_bytes(data)
        path.chmod(0o644)


def _swap(new: Path, directory: Path, old: Path) -> None:
    existed = directory.exists()
    if existed:
        directory.rename(old)
    try:
        new.rename(directory)
    except BaseException:
        if existed:
            old.rename(directory)
        raise


def _check_replaceable(directory: Path, *, force: bool, foreign: Callable[[Path], str | None]) -> None:
    if package := _package_around(directory):
        message = f"{directory} lies inside of the package {package}"
        raise ZoocError(error("Z0603", message, hint="choose another folder with -o"))
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        kind = "a link" if directory.is_symlink() else "a file"
        raise ZoocError(error("Z0603", f"{directory} is {kind}", hint="choose another folder with -o"))
    if not directory.exists() or not any(directory.iterdir()):
        return
    if stranger := foreign(directory):
        raise ZoocError(
            error(
                "Z0602",
                f"{directory} contains something that zooc did not write: {stranger}",
                notes=("such a folder is never replaced, even with --force",),
                hint="choose another folder with -o, or empty this one by hand",
            )
        )
    if not force:
        raise ZoocError(
            error(
                "Z0601",
                f"{directory} contains a package already",
                hint="replace it with --force, or choose another folder with -o",
            )
        )


def unknown_entry(directory: Path) -> str | None:
    """Return the name of an entry that no package has, `None` for a folder that this compiler wrote."""
    packages = [entry.name for entry in directory.iterdir() if _is_import_package(entry)]
    for entry in sorted(directory.iterdir()):
        name = entry.name
        known = name in _DISTRIBUTION or name in packages or name in _LEFT_BY_TOOLS
        if not known and not name.endswith(".egg-info"):
            return name
    return None if len(packages) == 1 else "no package's manifest.json, or more than one"


def _package_around(directory: Path) -> Path | None:
    """Return the package, or the folder to install one from, that `directory` would be a part of."""
    for parent in directory.resolve().parents:
        if _is_import_package(parent):
            return parent
        if (parent / "pyproject.toml").is_file() and any(map(_is_import_package, parent.iterdir())):
            return parent
    return None


def _is_import_package(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and {"schema", "zooc", "files"} <= manifest.keys()


def _make_parents(directory: Path, created: list[Path]) -> None:
    """Creates the folder around `directory`; `created` tells which folders were missing, outermost first."""
    for parent in reversed([p for p in directory.parents if not p.exists()]):
        parent.mkdir(exist_ok=True)
        created.append(parent)


@contextlib.contextmanager
def _reported(directory: Path) -> Iterator[None]:
    """Turns the operating system's refusals into diagnostics."""
    try:
        yield
    except OSError as failure:
        reason = os.strerror(failure.errno) if failure.errno else str(failure)
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ZoocError(
                error(
                    "Z0606",
                    f"not enough space for {directory}: {reason}",
                    hint="free some space, or choose another folder with -o",
                )
            ) from None
        if failure.errno in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
            raise ZoocError(
                error(
                    "Z0603", f"{directory} cannot be a folder: {reason}", hint="choose another folder with -o"
                )
            ) from None
        raise ZoocError(
            error(
                "Z0605",
                f"cannot write {directory}: {reason}",
                hint="check the permissions of its parent folder, or choose another folder with -o",
            )
        ) from None


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
