"""The user's cache folder, which the compiler shares: what costs time and may be lost at any moment.

An entry is `KIND/KEY` beside `KIND/KEY.sha256`, its hash; the content is written first, so that a reader
between the two sees an entry that does not match.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import PackageError
from .files import make_folder, replacing

__all__ = ["CACHE_VARIABLE", "Damaged", "cache_folder", "key_of", "read_entry", "write_entry"]

CACHE_VARIABLE = "ZOOC_CACHE"
"""Environment variable that names the folder in place of the user's own."""


class Damaged(Exception):
    """An entry that is not what was written, or cannot be read; the text names it."""


def cache_folder() -> Path:
    """Return `$ZOOC_CACHE` where set, else `zooc` in the place that the system has for caches.

    Raises:
        PackageError: this user has no such place.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local", "zooc", "Cache").expanduser()
        if sys.platform == "darwin":
            return Path("~/Library/Caches/zooc").expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "zooc").expanduser()
    except RuntimeError:
        raise PackageError(f"this user has no home folder; set {CACHE_VARIABLE} to a folder") from None


def key_of(*parts: Any) -> str:
    """Return a name for what is made from `parts`, which have a JSON form."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_entry(kind: str, key: str) -> bytes | None:
    """Return an entry's content, `None` if there is none.

    Raises:
        Damaged: the entry does not match its hash.
    """
    try:
        path = cache_folder() / kind / key
        data = path.read_bytes()
        recorded = _sidecar(path).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError, PackageError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} cannot be read ({error})") from None
    if hashlib.sha256(data).hexdigest() != recorded:
        raise Damaged(f"{path} is damaged")
    return data


def write_entry(kind: str, key: str, data: bytes) -> Path:
    """Keep an entry, in place of the one before; returns where.

    Raises:
        PackageError: the folder cannot be written.
    """
    path = cache_folder() / kind / key
    make_folder(path.parent)
    with replacing(path) as file:
        file.write(data)
    with replacing(_sidecar(path)) as file:
        file.write(f"{hashlib.sha256(data).hexdigest()}\n".encode("ascii"))
    return path


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
