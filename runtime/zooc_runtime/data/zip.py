"""Zip archives: the table is at their end, and every member is inflated by itself.

Format: PKWARE's APPNOTE.TXT 6.3 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT); the central
directory is read by Python's `zipfile`, a member by a single read from its local header on.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import ClassVar

from ..errors import PackageError, SourceError
from . import files
from .place import shown
from .shards import Member, Shards, Table
from .source import Item

__all__ = ["ZipArchives"]

_HEADER = struct.Struct("<4s2H3H3I2H")
"""The local file header: signature, versions and flags, method, times, checksum, sizes, two lengths."""

_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1
_ROOM = 4096
"""Bytes read for a local header's name and extra field, whose lengths only it tells."""

_DAMAGES = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class ZipArchives(Shards):
    """The images of one zip archive or several, in the order of their tables."""

    kind: ClassVar[str] = "zip archive"

    def table(self, shard: str) -> Table:
        """Return the members in order; see `Shards.table`."""
        with files.open_file(shard) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    return tuple(_member(header) for header in archive.infolist() if not header.is_dir())
            except (
                zipfile.BadZipFile,
                NotImplementedError,
                ValueError,
                OverflowError,
                struct.error,
            ) as problem:
                raise SourceError(
                    f"{shown(shard)}: not a zip archive, damaged or cut short ({problem}); fetch it again"
                ) from None

    def read(self, item: Item) -> bytes:
        """Return a member's bytes, inflated to no more than the table says."""
        shard, offset, packed, size, method, checksum, encrypted = item.at[:7]
        title = self.title(item)
        if encrypted:
            raise PackageError(f"{title}: is encrypted; pack the images without a password")
        if method not in _METHODS:
            raise PackageError(f"{title}: packed by method {method}; pack by deflate, or only store")
        if max(size, packed) > files.MOST_BYTES:
            raise PackageError(f"{title}: {max(size, packed) >> 20} MiB are no image; leave it out")
        block = files.read_range(shard, offset, _HEADER.size + _ROOM + packed)
        if len(block) < _HEADER.size or not block.startswith(_MAGIC):
            raise PackageError(f"{title}: its header is damaged; fetch or make the archive again")
        *_, name_size, extra_size = _HEADER.unpack_from(block)
        start = _HEADER.size + name_size + extra_size
        if name_size + extra_size > _ROOM:
            block = files.read_range(shard, offset, start + packed)
        content = _inflated(block[start : start + packed], size, method)
        if content is None or len(content) != size or zlib.crc32(content) != checksum:
            raise PackageError(f"{title}: damaged or cut short; fetch or make the archive again")
        return content

    def unlabelled(self) -> str:
        """Return what would give labels."""
        return "sort the images into one folder per class in the archive, or give --truth"


def _member(header: zipfile.ZipInfo) -> Member:
    encrypted = header.flag_bits & _ENCRYPTED
    sizes = header.compress_size, header.file_size
    at = header.header_offset, *sizes, header.compress_type, header.CRC, encrypted
    return Member(header.filename, at, header.file_size)


def _inflated(packed: bytes, size: int, method: int) -> bytes | None:
    """At most one byte more than `size`; `None` if that is no deflate stream."""
    if method == zipfile.ZIP_STORED:
        return packed
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error:
        return None
