"""What a package's images are, as the manifest's `preprocess.source` has it.

`rgb` is a decoded image, `nv12-bt601` and `nv12-bt709` are camera frames (`nv12`), and `bands-4` is an image
of four channels of whatever meaning.
"""

from __future__ import annotations

__all__ = ["bands_of", "channels_of"]

_BANDS = "bands-"
_RGB = 3


def bands_of(source: str) -> int | None:
    """Return the number of channels of images that are no colours; `None` for another source."""
    return int(source.removeprefix(_BANDS)) if source.startswith(_BANDS) else None


def channels_of(source: str) -> int:
    """Return the number of channels before the first step."""
    return bands_of(source) or _RGB
