"""What a package's images are, as the manifest's `preprocess.source` has it.

`rgb` is a decoded image, `nv12-bt601` and `nv12-bt709` are camera frames (`nv12`), and `bands-4` is an image
of four channels of whatever meaning.
"""

from __future__ import annotations

__all__ = ["RGB", "bands_of", "channels", "channels_of"]

RGB = 3
"""Channels of an image in colour."""

_BANDS = "bands-"
_WORDS = {1: "one", 3: "three"}


def bands_of(source: str) -> int | None:
    """Return the number of channels of images that are no colours; `None` for another source."""
    return int(source.removeprefix(_BANDS)) if source.startswith(_BANDS) else None


def channels_of(source: str) -> int:
    """Return the number of channels before the first step."""
    return bands_of(source) or RGB


def channels(count: int) -> str:
    """Return `one channel`, `4 channels`."""
    return f"{_WORDS.get(count, str(count))} channel{'' if count == 1 else 's'}"
