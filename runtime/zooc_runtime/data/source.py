"""A source of images: what is in it, a reproducible draw from it, and the bytes of each.

Sources are plain frozen data and so are their items, so that both can be handed to other processes, which
then read by themselves. What is opened to read them is kept in the modules that read, never in a source.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count as numbers
from pathlib import Path
from typing import Any

from ..errors import PackageError, SourceError
from .image_folder import IMAGE_SUFFIXES
from .threads import on_threads

__all__ = ["ImageSource", "Item", "NamedImage", "StoredImage", "has_suffix", "parent_of"]

_THREADS = 16


@dataclass(frozen=True, slots=True)
class Item:
    """An image in a source.

    Attributes:
        name: unique in the source, with forward slashes.
        at: where the source finds it, plain data.
        size: bytes, of the image or of what it is in; -1 if unknown.
        stamp: changes when the bytes do: a time, an entity tag; empty if unknown.
        folder: what may be its class: the first folder it lies in below a folder, the last in an archive or
            a list, whose names may begin anywhere; empty without one.
        label: its class as the source tells it, an id or a name; `None` without one.
    """

    name: str
    at: tuple[Any, ...] = field(repr=False)
    size: int = -1
    stamp: str = ""
    folder: str = ""
    label: str | None = None


class NamedImage(ABC):
    """The bytes of an image file, read when they are needed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The image's name in its source, with forward slashes."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The image's full name, for messages."""

    @abstractmethod
    def read(self) -> bytes:
        """Return the image file's bytes; any thread may call it.

        Raises:
            SourceError: the source as a whole cannot be read.
            PackageError: this image cannot.
        """


@dataclass(frozen=True, slots=True)
class StoredImage(NamedImage):
    """An image of a source; it can be pickled, and is read where it is wanted."""

    source: ImageSource = field(hash=False)
    item: Item

    @property
    def name(self) -> str:
        """The image's name in its source."""
        return self.item.name

    @property
    def title(self) -> str:
        """The image's full name, for messages."""
        return self.source.title(self.item)

    def read(self) -> bytes:
        """Return the image file's bytes."""
        return self.source.read(self.item)


class ImageSource(ABC):
    """Images that come from one place.

    Attributes:
        where: the place, fit to be shown.
        remote: whether reading goes over a network, so that it pays to read ahead.
        suffix: only images of this suffix; `None` takes all of `IMAGE_SUFFIXES`.
    """

    where: str
    remote: bool
    suffix: str | None

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Yield all images in the source's order, which is always the same.

        Raises:
            SourceError: the place cannot be read, or what is there is damaged.
        """

    @abstractmethod
    def read(self, item: Item) -> bytes:
        """Return an image file's bytes; see `NamedImage.read`."""

    def image(self, item: Item) -> Path | StoredImage:
        """Return an image as `decode` takes it."""
        return StoredImage(self, item)

    def reader_of(self, item: Item) -> ImageSource:
        """Return a source that reads this one of its images, and is small to send to another process."""
        return self

    def title(self, item: Item) -> str:
        """Return an image's full name, for messages."""
        return f"{self.where.rstrip('/')}/{item.name}"

    def draw(self, count: int | None, seed: int = 0) -> tuple[list[Item], int]:
        """Return a uniform draw without replacement, in the source's order, and how many images there are.

        The names stream past: each has a hash of `seed` and itself, and the `count` smallest are drawn (J.
        Vitter, ACM TOMS 11 (1985), 37-57, reservoirs with a random sort key). So memory holds the draw alone,
        a larger count draws the same and more, and an image's being drawn depends on no other's order.

        Args:
            count: how many; `None`, or more than there are, takes all.
            seed: another one draws others.

        Raises:
            SourceError: as `items`, or an image is there twice.
        """
        found = 0
        if count is None:
            drawn = list(self.items())
            found = len(drawn)
        else:
            # The largest key is at the top. `place` is unique, so that items are never compared.
            heap: list[tuple[int, int, Item]] = []
            for place, item in zip(numbers(), self.items(), strict=False):
                found += 1
                entry = (-_key(seed, item.name), -place, item)
                if len(heap) < count:
                    heapq.heappush(heap, entry)
                elif entry > heap[0]:
                    heapq.heapreplace(heap, entry)
            drawn = [item for _, _, item in sorted(heap, key=lambda entry: -entry[1])]
        self._refuse_repeats(drawn)
        return drawn, found

    def completed(self, items: Sequence[Item]) -> list[Item]:
        """Return items with a stamp each, which costs a request where the listing has none.

        Without any other mark of a change the stamp is a hash of the bytes.

        Raises:
            SourceError: the place cannot be read.
        """
        done = on_threads(self._stamped, items, _THREADS if self.remote else 1)
        return [_interned(item) for item in done]

    def suffixes(self) -> Counter[str]:
        """Return how many files of each suffix (lower case, no dot) there are, for messages."""
        return Counter()

    def unlabelled(self) -> str:
        """Return why the images have no labels of their own and what would give them, for messages."""
        return "give --truth (lines of `name id`)"

    def _stamped(self, item: Item) -> Item:
        if item.stamp:
            return item
        try:
            return replace(item, stamp=hashlib.sha256(self.read(item)).hexdigest())
        except PackageError as problem:
            if type(problem) is PackageError:  # decoding will leave it out by name
                return replace(item, stamp="unreadable")
            raise

    def _refuse_repeats(self, items: Sequence[Item]) -> None:
        seen: set[str] = set()
        for item in items:
            if item.name in seen:
                raise SourceError(f"{self.title(item)}: is there twice; an image must have a name of its own")
            seen.add(item.name)


def has_suffix(name: str, suffix: str | None) -> bool:
    """Tell whether a file's name has the suffix, or without one that of an image."""
    own = name.rpartition("/")[2].rpartition(".")[2].lower()
    return own in IMAGE_SUFFIXES if suffix is None else own == suffix.lstrip(".").lower()


def parent_of(name: str) -> str:
    """Return the folder that a name lies in; empty without one."""
    return name.rpartition("/")[0].rpartition("/")[2]


def _key(seed: int, name: str) -> int:
    text = f"{seed}\0{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")


def _interned(item: Item) -> Item:
    """The stamp of an archive is the same for all its images: one text will do."""
    return replace(item, stamp=sys.intern(item.stamp))
