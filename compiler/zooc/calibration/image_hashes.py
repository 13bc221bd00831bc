"""Hashes of what is in image files, for sets that are small or whose user asks for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zooc.calibration.image_set import Image, unreadable_source
from zooc_runtime.data.source import NamedImage, StoredImage
from zooc_runtime.errors import PackageError, SourceError
from zooc_runtime.inference.cpu import available_cores
from zooc_runtime.package.manifest import sha256_of

__all__ = ["CHEAP_BYTES", "CHEAP_FILES", "facts_of", "file_hashes", "fits", "listing_sha256"]

CHEAP_BYTES, CHEAP_FILES = 1 << 28, 20_000
"""Sets of no more bytes and files are always hashed: about a second, where decoding them takes many."""

_MOST_THREADS = 4
_AT_A_TIME = 32


def facts_of(path: Image, *, with_time: bool) -> str:
    """Return an image's size, and time of change or other mark, as text; why, where it cannot be had."""
    if isinstance(path, StoredImage):
        return f"{path.item.size} {path.item.stamp}" if with_time else str(path.item.size)
    assert isinstance(path, Path), "no image that is on its way"
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat takes longer than the call to the system
    except OSError as problem:  # a dangling link, say: decoding will skip it by name
        return problem.strerror or "unreadable"
    return f"{status.st_size} {status.st_mtime_ns}" if with_time else str(status.st_size)


def fits(paths: Sequence[Image], most_bytes: int, most_files: int) -> bool:
    """Tell whether there are so few files with so few bytes together; one that is not there has none.

    Images of archives and addresses never fit: their source has a mark of its own, and reading costs more.
    """
    if len(paths) > most_files or any(isinstance(path, StoredImage) for path in paths):
        return False
    total = 0
    for path in paths:
        size = facts_of(path, with_time=False)
        total += int(size) if size.isdecimal() else 0
        if total > most_bytes:
            return False
    return True


def file_hashes(paths: Sequence[Image], on_file: Callable[[int], None]) -> dict[Image, str]:
    """Return the sha256 of each file, read on several threads; of one that cannot be read, why.

    Args:
        paths: the files.
        on_file: called with the number of files each time that some are read.
    """
    parts = [paths[start : start + _AT_A_TIME] for start in range(0, len(paths), _AT_A_TIME)]
    found: dict[Image, str] = {}
    with ThreadPoolExecutor(min(available_cores(), _MOST_THREADS)) as threads:
        for part, hashes in zip(parts, threads.map(_hashes, parts), strict=True):
            found.update(zip(part, hashes, strict=True))
            on_file(len(part))
    return found


def listing_sha256(entries: Iterable[tuple[str, str]]) -> str:
    """Return the sha256 of the listing that `sha256sum NAMES` prints: of `HASH  NAME` lines.

    Args:
        entries: pairs of a file's name and the sha256 of its content.
    """
    digest = hashlib.sha256()
    for name, content in entries:
        digest.update(f"{content}  {name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _hashes(paths: Sequence[Image]) -> list[str]:
    return [_hash(path) for path in paths]


def _hash(path: Image) -> str:
    if isinstance(path, NamedImage):
        return _hash_of_stored(path)
    try:
        return sha256_of(path)
    except OSError as problem:
        return problem.strerror or "unreadable"


def _hash_of_stored(image: NamedImage) -> str:
    try:
        return hashlib.sha256(image.read()).hexdigest()
    except SourceError as problem:
        raise unreadable_source(problem) from None
    except PackageError as problem:
        return str(problem)
