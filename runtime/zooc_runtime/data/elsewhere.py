"""Images on their way to other processes, whose working folder is another one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from .place import is_remote
from .source import StoredImage

__all__ = ["Sendable", "as_written", "portable"]

Sendable = str | Path | StoredImage
"""An image that can be pickled, and read wherever its path or address is the same."""


def portable(image: Sendable) -> Sendable:
    """Return the image by its absolute path, with no more of its source than reads it."""
    if isinstance(image, StoredImage):
        place, *rest = image.item.at
        place = place if is_remote(place) else os.path.abspath(place)  # noqa: PTH100
        item = replace(image.item, at=(place, *rest))
        return StoredImage(image.source.reader_of(item), item)
    if isinstance(image, Path):
        return image.absolute()
    return os.path.abspath(image)  # noqa: PTH100 - as written, for any number


def as_written(message: str, image: Sendable) -> str:
    """Return a message about `portable(image)` as one about `image`."""
    return message.replace(_place(portable(image)), _place(image), 1)


def _place(image: Sendable) -> str:
    return image.item.at[0] if isinstance(image, StoredImage) else os.fspath(image)
