"""Images on their way to other processes, whose working folder is another one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from .place import is_remote
from .source import StoredImage

__all__ = ["Sendable", "absolute", "as_written"]

Sendable = str | Path | StoredImage
"""An image that can be pickled, and read wherever its path or address is the same."""


def absolute(image: Sendable) -> Sendable:
    """Return the image by its absolute path; of an archive or a list the path of the file that it is in."""
    if isinstance(image, StoredImage):
        place, *rest = image.item.at
        if is_remote(place):
            return image
        return replace(image, item=replace(image.item, at=(os.path.abspath(place), *rest)))  # noqa: PTH100
    if isinstance(image, Path):
        return image.absolute()
    return os.path.abspath(image)  # noqa: PTH100 - as written, for any number


def as_written(message: str, image: Sendable) -> str:
    """Return a message about `absolute(image)` as one about `image`."""
    return message.replace(_place(absolute(image)), _place(image), 1)


def _place(image: Sendable) -> str:
    return image.item.at[0] if isinstance(image, StoredImage) else os.fspath(image)
