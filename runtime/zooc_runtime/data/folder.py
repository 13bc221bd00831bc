"""Folders of images and patterns of names, on this machine or at an address."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from glob import glob as local
from pathlib import Path

from ..errors import PackageError, SourceError
from . import files, remote
from .image_folder import draw, list_images, suffixes_found
from .place import fixed_part, is_pattern, is_remote, shown
from .source import ImageSource, Item, has_suffix

__all__ = ["FoundImages", "LocalFolder"]


@dataclass(frozen=True)
class LocalFolder(ImageSource):
    """The images of a folder and its subfolders, by their sorted relative paths; they are given as paths."""

    folder: Path
    suffix: str | None = None
    remote = False

    @property
    def where(self) -> str:  # type: ignore[override]
        """The folder."""
        return os.fspath(self.folder)

    def items(self) -> Iterator[Item]:
        """Yield the images; see `list_images`. Sizes are not looked at."""
        above = os.path.join(self.folder, "")  # noqa: PTH118 - ends in a separator
        for path in list_images(self.folder, self.suffix):
            name = os.fspath(path).removeprefix(above).replace(os.sep, "/")
            yield Item(name, (os.fspath(path),), folder=_first_folder(name))

    def read(self, item: Item) -> bytes:
        """Return an image file's bytes."""
        return files.read_file(item.at[0])

    def image(self, item: Item) -> Path:
        """Return the path."""
        return Path(item.at[0])

    def title(self, item: Item) -> str:
        """Return the path."""
        return str(item.at[0])

    def draw(self, count: int | None, seed: int = 0) -> tuple[list[Item], int]:
        """Return a draw by numpy's generator over the sorted names, which are in memory anyway."""
        found = list(self.items())
        return draw(found, len(found) if count is None else min(count, len(found)), seed), len(found)

    def completed(self, items: list[Item]) -> list[Item]:  # type: ignore[override]
        """Return the items with their files' sizes and times; what cannot be looked at keeps none."""
        return [_looked_up(item) for item in items]

    def suffixes(self) -> Counter[str]:
        """Return how many files of each suffix lie below the folder."""
        return suffixes_found(self.folder)

    def unlabelled(self) -> str:
        """Return what would give labels."""
        return "sort the images into one folder per class, or give --truth"


@dataclass(frozen=True)
class FoundImages(ImageSource):
    """The images below a folder at an address, or those that match a pattern; as `LocalFolder` otherwise.

    The names below the folder are the same as those of a copy on this machine, and so is the draw.
    """

    place: str = field(repr=False)
    suffix: str | None = None

    @property
    def where(self) -> str:  # type: ignore[override]
        """The place."""
        return shown(self.place)

    @property
    def remote(self) -> bool:  # type: ignore[override]
        """Whether it is an address."""
        return is_remote(self.place)

    def items(self) -> Iterator[Item]:
        """Yield the images, sorted by name; what begins with a dot below the folder is left out.

        Raises:
            SourceError: the place cannot be listed.
        """
        found = self._found()
        images = [item for item in found if has_suffix(item.name, self.suffix)]
        if not images and self.suffix is None:
            images = [item for item in found if has_suffix(item.name, "npy")]
        yield from sorted(images, key=lambda item: item.name)

    def read(self, item: Item) -> bytes:
        """Return an image file's bytes."""
        return files.read_file(item.at[0], item.size)

    def title(self, item: Item) -> str:
        """Return the address."""
        return shown(item.at[0])

    def draw(self, count: int | None, seed: int = 0) -> tuple[list[Item], int]:
        """Return the draw that `LocalFolder` makes of the same names."""
        found = list(self.items())
        return draw(found, len(found) if count is None else min(count, len(found)), seed), len(found)

    def suffixes(self) -> Counter[str]:
        """Return how many files of each suffix the place has."""
        return Counter(item.name.rpartition("/")[2].rpartition(".")[2].lower() for item in self._found())

    def unlabelled(self) -> str:
        """Return what would give labels."""
        return "sort the images into one folder per class, or give --truth"

    def _stamped(self, item: Item) -> Item:
        if not item.stamp and self.remote:
            try:
                size, stamp = remote.describe(item.at[0])
            except SourceError as problem:
                if isinstance(problem, remote.MissingError):
                    return replace(item, stamp="unreadable")
                raise
            item = replace(item, size=size, stamp=stamp)
        return super()._stamped(item)

    def _found(self) -> list[Item]:
        pattern = is_pattern(self.place)
        root = fixed_part(self.place.replace(os.sep, "/")) if pattern else f"{self.place.rstrip('/')}/"
        if self.remote and not pattern and has_suffix(shown(self.place), self.suffix):
            root, found = f"{self.place.rpartition('/')[0]}/", {self.place: files.describe(self.place)}
        elif not self.remote:
            matches = (path.replace(os.sep, "/") for path in local(self.place, recursive=True))  # noqa: PTH207
            found = {path: files.describe(path) for path in matches if Path(path).is_file()}
        else:
            found = remote.find(self.place, pattern=pattern)
        items = []
        for place, (size, stamp) in found.items():
            name = _below(place, root)
            if not any(part.startswith(".") for part in name.split("/")):
                items.append(Item(name, (place,), size, stamp, _first_folder(name)))
        return items


def _below(place: str, root: str) -> str:
    """A place relative to the folder; file systems write one scheme in several ways (`s3a`, `s3`)."""
    if not is_remote(root):
        return place.removeprefix(root)
    own, above = (shown(text).partition("://")[2].lstrip("/") for text in (place, root))
    return own.removeprefix(above)


def _first_folder(name: str) -> str:
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def _looked_up(item: Item) -> Item:
    try:
        size, stamp = files.describe(item.at[0])
    except PackageError:
        return item
    return replace(item, size=size, stamp=stamp)
