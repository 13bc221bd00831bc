"""A content-addressed cache on disk: exports and histograms, found again by what they were made from.

An entry is one file beside a sidecar that holds its sha256. Both are written under a temporary name and
renamed, so a killed compile leaves no half entry; its temporary files go a day later, with the next entry.
An entry whose content no longer matches its sidecar is dropped and rebuilt. The cache is a convenience: where
it cannot be written (read-only, full disk) compiling goes on without it, and `Cache.warnings` says so once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from zooc.diagnostics.diagnostic import Diagnostic, warning

__all__ = ["CACHE_VARIABLE", "Cache", "default_root", "file_sha256", "key"]

CACHE_VARIABLE = "ZOOC_CACHE"
"""Environment variable that names the cache folder in place of the user's own."""

_SIDECAR = ".sha256"
_SCRATCH = ".new-"
_ABANDONED = 24 * 3600.0
"""Seconds after which nobody writes to a temporary folder any more."""


def key(*parts: Any) -> str:
    """The sha256 (hex) of `parts` as canonical JSON: keys sorted, no spaces; equal parts give equal keys.

    Raises:
        TypeError: a part has no JSON form.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes, read in pieces of 1 MiB.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def default_root() -> Path:
    """Return `$ZOOC_CACHE` where set and not empty, else the platform's cache folder for `zooc`."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("zooc", appauthor=False)


class Cache:
    """Entries `root/KIND/KEY`, each one file.

    Attributes:
        root: the folder, made when first written; `None` switches the cache off.
        warnings: what the user should know, one diagnostic at most.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.warnings: list[Diagnostic] = []

    def get(self, kind: str, key: str) -> Path | None:
        """Return the intact entry's path, or `None` if there is none; a damaged entry is removed.

        Args:
            kind: the family of entries, such as `export`; a plain file name.
            key: what `key()` returned.
        """
        if self.root is None:
            return None
        path = self.root / kind / key
        try:
            expected = _sidecar(path).read_text("ascii").strip()
            if file_sha256(path) == expected:
                return path
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            pass
        self._remove(path)
        return None

    def put(self, kind: str, key: str, writer: Callable[[Path], object]) -> Path | None:
        """Store an entry and return its path, or `None` where the cache is off or cannot be written.

        Args:
            kind: the family of entries.
            key: what `key()` returned.
            writer: called with a temporary path to which it writes the whole content. What it raises other
                than `OSError` is passed on, and no entry is left.
        """
        if self.root is None:
            return None
        folder = self.root / kind
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
        except OSError as problem:
            self._give_up(problem)
            return None
        try:
            fresh = scratch / key
            writer(fresh)
            _sidecar(fresh).write_text(file_sha256(fresh) + "\n", "ascii")
            path = folder / key
            # The content goes first: a reader between the two renames sees no entry, or a stale sidecar
            # that does not match and makes it rebuild.
            fresh.replace(path)
            _sidecar(fresh).replace(_sidecar(path))
        except OSError as problem:
            self._give_up(problem)
            return None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return path

    def remove(self, kind: str, key: str) -> None:
        """Forget an entry, if there is one."""
        if self.root is not None:
            self._remove(self.root / kind / key)

    def size(self) -> int:
        """Return bytes held by the cache, sidecars included; 0 where it is off or absent."""
        if self.root is None:
            return 0
        total = 0
        for path in self.root.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file():
                    total += path.stat().st_size
        return total

    def clear(self) -> int:
        """Remove every entry and return the bytes freed; files that are not entries are left alone."""
        if self.root is None or not self.root.is_dir():
            return 0
        before = self.size()
        for folder in sorted(p for p in self.root.iterdir() if p.is_dir()):
            for sidecar in sorted(folder.glob("*" + _SIDECAR)):
                self._remove(sidecar.with_name(sidecar.name.removesuffix(_SIDECAR)))
            for scratch in sorted(folder.glob(f"{_SCRATCH}*")):
                shutil.rmtree(scratch, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.rmdir()
        return before - self.size()

    def _remove(self, path: Path) -> None:
        for one in (path, _sidecar(path)):
            with contextlib.suppress(OSError):
                one.unlink(missing_ok=True)

    def _give_up(self, problem: OSError) -> None:
        if not self.warnings:
            reason = problem.strerror or str(problem)
            self.warnings.append(
                warning(
                    "Z0701",
                    f"cannot write the cache in {self.root}: {reason}",
                    notes=(
                        "the compile continues without it; the next compile exports and calibrates again",
                    ),
                    hint=f"free some space there, or set the environment variable {CACHE_VARIABLE}",
                )
            )


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR)


def _sweep(folder: Path) -> None:
    """Removes what killed compiles left."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):  # another compile may be quicker
            if time.time() - scratch.stat().st_mtime > _ABANDONED:
                shutil.rmtree(scratch, ignore_errors=True)
