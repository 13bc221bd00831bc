"""Archives of arrays (npz), which may unpack to a thousand times their size."""

from __future__ import annotations

import io
import zipfile
from typing import BinaryIO

__all__ = ["MAX_UNPACKED", "check_unpacked_size"]

MAX_UNPACKED = 1 << 30
"""Bytes; the largest image that a network takes has a fifth of them. Stored as they are there may be more."""


def check_unpacked_size(file: BinaryIO) -> None:
    """Refuse an archive that unpacks to more than `MAX_UNPACKED` and more than it has itself.

    Afterwards the file is at its start again.

    Raises:
        ValueError: it is too large, or says how large it is nowhere.
        zipfile.BadZipFile: it is no archive.
    """
    with zipfile.ZipFile(file) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    own = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > max(MAX_UNPACKED, own):
        raise ValueError(f"it unpacks to {size:,} bytes; the limit is {MAX_UNPACKED:,}")
