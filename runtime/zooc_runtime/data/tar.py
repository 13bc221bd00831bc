"""Tar shards as WebDataset writes them: `0001.jpg` beside `0001.cls`, one sample after the other.

Format: POSIX.1-2001 `ustar` and `pax`, and GNU's long names, read by Python's `tarfile`. WebDataset
(https://github.com/webdataset/webdataset) calls members one sample whose names are the same up to the first
dot of the last part, and writes them next to each other.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar

from ..errors import PackageError, SourceError
from . import files
from .place import shown
from .shards import Member, Shards, Table
from .source import Item

__all__ = ["TarShards"]

_MOST_LABEL = 1024
"""Bytes of a `.cls` member."""


@dataclass(frozen=True)
class TarShards(Shards):
    """The images of one tar file or several, each with the label that its sample's `.cls` has."""

    kind: ClassVar[str] = "tar file"

    def table(self, shard: str) -> Table:
        """Return the members in order; labels are read on the way. See `Shards.table`."""
        with files.open_file(shard) as file:
            end = file.seek(0, io.SEEK_END)
            file.seek(0)
            try:
                with tarfile.open(fileobj=file, mode="r:") as archive:
                    return tuple(_members(archive, shard, end))
            except (tarfile.TarError, ValueError, OverflowError, EOFError) as problem:
                raise SourceError(
                    f"{shown(shard)}: not a tar file, damaged or cut short ({problem}); fetch it again"
                ) from None

    def read(self, item: Item) -> bytes:
        """Return a member's bytes."""
        shard, offset, size = item.at[:3]
        if size > files.MOST_BYTES:
            raise PackageError(f"{self.title(item)}: {size >> 20} MiB are no image; leave it out")
        content = files.read_range(shard, offset, size)
        if len(content) < size:
            raise PackageError(f"{self.title(item)}: the tar file ends in the midst of it; fetch it again")
        return content

    def unlabelled(self) -> str:
        """Return what would give labels."""
        return "write a .cls member beside each image, as WebDataset does, or give --truth"


def _members(archive: tarfile.TarFile, shard: str, end: int) -> Iterator[Member]:
    for _, sample in groupby(_files(archive, shard, end), key=lambda pair: _sample_of(pair[0].name)):
        yield from _labelled(sample)


def _labelled(sample: Iterable[tuple[Member, str | None]]) -> Iterator[Member]:
    members = list(sample)
    label = next((text for _, text in members if text is not None), None)
    yield from (member if label is None else replace(member, label=label) for member, _ in members)


def _files(archive: tarfile.TarFile, shard: str, end: int) -> Iterator[tuple[Member, str | None]]:
    """Every file with, of a `.cls` one, its text. `tarfile` would keep all headers."""
    while (header := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]
        if not header.isreg() or header.issparse():
            continue
        if header.offset_data + header.size > end:
            raise SourceError(
                f"{shown(shard)}: ends in the midst of {header.name!r}, {end - header.offset_data} of its "
                f"{header.size} bytes are there; fetch or make the tar file again"
            )
        yield Member(header.name, (header.offset_data, header.size), header.size), _label(archive, header)
    # At a damaged header, and where a file is cut at one, `tarfile` stops without a word.
    assert archive.fileobj is not None, "opened for reading"
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise SourceError(
            f"{shown(shard)}: damaged or cut short at byte {archive.offset}, where a header or zeros should "
            "be; fetch or make the tar file again"
        )


def _label(archive: tarfile.TarFile, header: tarfile.TarInfo) -> str | None:
    if not header.name.endswith(".cls") or header.size > _MOST_LABEL:
        return None
    content = archive.extractfile(header)
    return None if content is None else content.read().decode("utf-8", "replace").strip()


def _sample_of(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]
