"""Image folders: what is in them, and a reproducible draw from them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..errors import PackageError

__all__ = ["IMAGE_SUFFIXES", "draw", "list_images", "suffixes_found"]

_PHOTOS = ("avif", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "png", "webp")
_RASTERS = ("bmp", "dib", "pbm", "pgm", "pnm", "ppm", "tif", "tiff")
IMAGE_SUFFIXES = frozenset(_PHOTOS + _RASTERS)
"""Suffixes taken for images when none is asked for, in lower case and without the dot."""

_ARRAYS = frozenset({"npy"})

T = TypeVar("T")


def list_images(folder: str | os.PathLike[str], suffix: str | None = None) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted by their relative POSIX path.

    Names that begin with a dot are skipped, links to folders are followed once.

    Args:
        folder: where to look.
        suffix: only this suffix, without regard to case, with or without its dot; `None` takes all of
            `IMAGE_SUFFIXES`, and where there is none of them arrays, `.npy`.

    Raises:
        PackageError: there is no such folder, or it cannot be read. A folder without images gives an empty
        list.
    """
    root = Path(folder)
    if not root.exists():
        raise PackageError(f"{root}: no such folder; check the path")
    if not root.is_dir():
        raise PackageError(f"{root}: not a folder; name the folder that holds the images")
    kinds = (IMAGE_SUFFIXES, _ARRAYS) if suffix is None else ({suffix.lstrip(".").lower()},)
    for wanted in kinds:
        found = [path for path in _files(root) if path.suffix[1:].lower() in wanted and not _is_special(path)]
        if found:
            return sorted(found, key=lambda path: path.relative_to(root).as_posix())
    return []


def suffixes_found(folder: str | os.PathLike[str]) -> Counter[str]:
    """Return how many files of each suffix (lower case, no dot) lie below a folder, for messages."""
    return Counter(path.suffix[1:].lower() for path in _files(Path(folder)))


def draw(items: Sequence[T], count: int | None, seed: int = 0) -> list[T]:
    """Return a uniform draw without replacement that depends on nothing but `seed` and the order of `items`.

    Args:
        items: what to draw from, sorted (as `list_images` gives them).
        count: how many; `None` takes all.
        seed: seeds numpy's `default_rng`.

    Returns:
        The items drawn, in their original order.

    Raises:
        PackageError: fewer items than `count`.
    """
    if count is None:
        return list(items)
    if count > len(items):
        raise PackageError(
            f"{count} images wanted but only {len(items)} found; lower the count or add images"
        )
    chosen = np.random.default_rng(seed).permutation(len(items))[:count]
    return [items[i] for i in sorted(chosen.tolist())]


def _is_special(path: Path) -> bool:
    """A pipe or a device, which would be waited for endlessly; dangling links stay, to be named as such."""
    return path.exists() and not path.is_file()


def _files(root: Path) -> Iterator[Path]:
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise PackageError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        if (real := os.path.realpath(folder)) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder) / name for name in names if not name.startswith("."))
