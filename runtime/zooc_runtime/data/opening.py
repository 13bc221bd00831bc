"""From a place as it is written to the source of images that it stands for."""

from __future__ import annotations

import os
from collections import Counter
from glob import glob as local
from pathlib import Path

from ..errors import PackageError, SourceError
from . import remote
from .folder import FoundImages, LocalFolder
from .listed import ListedImages
from .place import LIST, check_place, expand_braces, is_pattern, is_remote, kind_of, shown
from .source import ImageSource, StoredImage

__all__ = ["all_images", "is_source", "open_source"]


def open_source(place: str | os.PathLike[str], suffix: str | None = None) -> ImageSource:
    """Return the source that a place stands for; hardly anything is read yet.

    Args:
        place: a folder; a pattern of image files; a `.tar`, `.zip` or `.parquet` file, or several of them by
            `{0000..0063}` or a pattern; `list:FILE`, a text file of images. Each a path or an address.
        suffix: only images of this suffix, without regard to case, with or without its dot.

    Raises:
        SourceError: nothing is there, or it cannot be looked at.
        PackageError: the place is mistyped.
    """
    text = os.fspath(place)
    if Path(text).is_dir():
        return LocalFolder(Path(text), suffix)
    kind = check_place(text)
    if kind == "list":
        return ListedImages.of(text.removeprefix(LIST), suffix)
    if kind == "files":
        if is_remote(text) or is_pattern(text):
            return FoundImages(text, suffix)
        raise SourceError(f"{text}: no such folder; check the path")
    text, _, choice = text.partition("#")
    return _archives(kind, text, suffix, choice)


def is_source(place: str | os.PathLike[str]) -> bool:
    """Tell whether a place is a source of images, rather than some other file."""
    text = os.fspath(place)
    if Path(text).is_dir() or text.startswith(LIST) or is_remote(text):
        return True
    return (not Path(text).exists() and is_pattern(text)) or kind_of(text) != "files"


def all_images(source: ImageSource) -> list[Path | StoredImage]:
    """Return all images of a source, as `decode` takes them.

    Raises:
        SourceError: it cannot be read.
    """
    items, _ = source.draw(None)
    return [source.image(item) for item in items]


def _archives(kind: str, text: str, suffix: str | None, choice: str) -> ImageSource:
    shards = tuple(_shards(text))
    if kind == "tar":
        from .tar import TarShards

        return TarShards(shards, shown(text), suffix)
    if kind == "zip":
        from .zip import ZipArchives

        return ZipArchives(shards, shown(text), suffix)
    from .parquet import ParquetTables

    return ParquetTables.of(shards, shown(text), suffix, choice)


def _shards(text: str) -> list[str]:
    if not is_remote(text) and Path(text).is_file():
        return [text]
    found: list[str] = []
    for name in expand_braces(text):
        if not is_pattern(name):
            found.append(name)
            continue
        matches = remote.find(name, pattern=True) if is_remote(name) else local(name, recursive=True)  # noqa: PTH207
        if not matches:
            raise SourceError(f"{shown(name)}: nothing matches; check the pattern")
        found += sorted(matches)
    if not is_remote(text) and (gone := next((name for name in found if not Path(name).is_file()), None)):
        raise SourceError(f"{gone}: no such file; check the path" + (f" of {text}" if gone != text else ""))
    times = Counter(found)
    if (twice := next((name for name in found if times[name] > 1), None)) is not None:
        raise PackageError(f"{shown(twice)}: is there twice in {shown(text)}; name each archive once")
    return found
