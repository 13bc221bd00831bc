"""What an evaluation has found so far, or of a shard: kept in a file, continued, merged with the others.

A file is an `.npz` without pickles: `about` (JSON) and the rows of the images that count. Equal parts give
equal bytes; a merged evaluation is that of a single run, image for image.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..data.files import describe
from ..data.place import is_remote
from ..data.remote import MissingError
from ..data.source import Item
from ..data.threads import on_threads
from ..errors import PackageError, SourceError
from ..support.archives import check_unpacked_size
from ..support.arrays import AnyArray
from ..support.files import make_folder, refuse_special, replacing
from ..support.shards import WHOLE, Shard, missing, overlap

__all__ = ["Keeper", "Part", "images_hash", "merge", "text_hash"]

_FORMAT = 1
_SAVE_EVERY = 5.0
"""Seconds of work that a killed evaluation loses."""

_THREADS = 16
"""Files at addresses that are looked at together."""

_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, OverflowError),
    *(NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error),
)


@dataclass
class Part:
    """Some images' outcomes.

    Attributes:
        identity: what was evaluated, in words that a message can use, each with a hash; equal for all parts.
        images: how many the whole evaluation has.
        shards: which of them are meant to be here.
        names: by place in the whole list, the image's name in its source.
        truth: by place, its true class as plain JSON data.
        rows: by place, what the package said, an array of one shape and dtype.
        skipped: by place, why an image does not count.
    """

    identity: dict[str, str]
    images: int
    shards: tuple[Shard, ...] = (WHOLE,)
    names: dict[int, str] = field(default_factory=dict)
    truth: dict[int, Any] = field(default_factory=dict)
    rows: dict[int, AnyArray] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Images with an outcome."""
        return len(self.rows) + len(self.skipped)

    def left(self) -> list[int]:
        """Return the places of the images that are still to be run."""
        return [place for place in self.names if place not in self.rows and place not in self.skipped]

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            PackageError: the disk or the permissions do not allow it.
        """
        places = sorted(self.rows)
        about = {
            "identity": self.identity,
            "images": self.images,
            "shards": [str(shard) for shard in self.shards],
            "names": [[place, self.names[place], self.truth[place]] for place in sorted(self.names)],
            "skipped": [[place, self.skipped[place]] for place in sorted(self.skipped)],
        }
        text = json.dumps(about, sort_keys=True).encode()
        content = io.BytesIO()
        np.savez(
            content,
            allow_pickle=False,
            part=np.asarray(_FORMAT),
            about=np.frombuffer(text, np.uint8),
            places=np.asarray(places, np.int64),
            rows=np.stack([self.rows[place] for place in places]) if places else np.zeros((0, 0)),
        )
        make_folder(path.absolute().parent)
        with replacing(path) as file:
            file.write(content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Part:
        """Read what `save` wrote.

        Raises:
            PackageError: it is missing, damaged, or something else.
        """
        try:
            refuse_special(path)
            content = io.BytesIO(path.read_bytes())
            check_unpacked_size(content)
            with np.load(content, allow_pickle=False) as file:
                version = int(file["part"])
                if version != _FORMAT:
                    raise PackageError(f"{path}: has format {version} of parts; run eval again")
                about = json.loads(file["about"].tobytes())
                places, rows = file["places"].tolist(), file["rows"]
            part = cls(
                {str(name): str(value) for name, value in about["identity"].items()},
                int(about["images"]),
                tuple(map(_shard, about["shards"])),
                {int(place): str(name) for place, name, _ in about["names"]},
                {int(place): truth for place, _, truth in about["names"]},
                dict(zip(places, rows, strict=True)),
                {int(place): str(reason) for place, reason in about["skipped"]},
            )
            part._check()
            return part
        except _DAMAGE as problem:
            reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "damaged"
            remedy = "name a file that eval -o wrote"
            raise PackageError(f"{path}: not a part of an evaluation ({reason}); {remedy}") from None

    def _check(self) -> None:
        """Raise `ValueError` if it contradicts itself."""
        own = [shard.take(self.images) for shard in self.shards]
        meant = set(chain(*own)) if sum(map(len, own)) == len(self.names) else set()
        if self.names.keys() != meant or not {*self.rows, *self.skipped} <= meant:
            raise ValueError("images that are not its own")
        if any(row.ndim != 1 or row.dtype.kind not in "if" for row in self.rows.values()):
            raise ValueError("rows that are none")

    def in_turn(self) -> Iterator[tuple[str, Any, AnyArray]]:
        """Yield name, truth and row of each image that counts, in the order of the whole list."""
        for place in sorted(self.rows):
            yield self.names[place], self.truth[place], self.rows[place]

    def complaints(self) -> list[str]:
        """Return why images do not count, in the order of the whole list."""
        return [self.skipped[place] for place in sorted(self.skipped)]


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except PackageError as problem:
        raise ValueError(str(problem)) from None


def merge(parts: Sequence[tuple[Path, Part]]) -> Part:
    """Return one part of all, the same whatever their order.

    Raises:
        PackageError: they are of different evaluations, share images, or leave some out.
    """
    first_path, first = parts[0]
    for path, part in parts:
        what = difference(part.identity, first.identity)
        if what is not None or part.images != first.images:
            what = what or f"{part.images} and {first.images} images"
            raise PackageError(f"{path} and {first_path} are parts of different evaluations: {what}")
        if left := len(part.left()):
            raise PackageError(f"{path}: {left} of its images were not run; run the same eval again")
    placed = [(shard, path) for path, part in parts for shard in part.shards]
    for index, (shard, path) in enumerate(placed):
        for earlier, earlier_path in placed[:index]:
            if overlap(shard, earlier):
                raise PackageError(
                    f"shard {shard} of {path} and shard {earlier} of {earlier_path} share images; "
                    "leave out one of them"
                )
    if lacking := missing([shard for shard, _ in placed]):
        named = ", ".join(map(str, lacking[:10])) + (", ..." if len(lacking) > 10 else "")
        raise PackageError(f"shard{'s' * (len(lacking) > 1)} {named} missing; run and name all parts")
    whole = Part(first.identity, first.images)
    for _, part in parts:
        whole.names |= part.names
        whole.truth |= part.truth
        whole.rows |= part.rows
        whole.skipped |= part.skipped
    return whole


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """Return what two identities differ in, in words; `None` if in nothing."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return f"another {names[0]}" if names else None


class Keeper:
    """Keeps a part in a file while it grows: a killed run continues from there, a second one is refused.

    Progress is in `FILE.progress`, held by a lock on `FILE.lock`; the last `save` makes FILE of it.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        """Touch nothing yet.

        Raises:
            PackageError: the file is there and `force` is not given, or its place is a folder.
        """
        if path.is_dir():
            raise PackageError(f"{path}: is a folder; name a file")
        if os.path.lexists(path) and not force:
            raise PackageError(f"{path}: exists already; name another file, or replace it with --force")
        self.path = path
        self._progress = path.with_name(f"{path.name}.progress")
        self._due = time.monotonic() + _SAVE_EVERY

    def continued(self, part: Part) -> Part:
        """Return `part` with what an earlier run has left.

        Raises:
            PackageError: the earlier run was of something else.
        """
        if not self._progress.exists():
            return part
        kept = Part.load(self._progress)
        what = difference(kept.identity, part.identity)
        if what is None and (kept.images, kept.shards) != (part.images, part.shards):
            what = "another shard"
        if what is not None:
            remedy = "name another file, or remove it"
            raise PackageError(f"{self._progress}: progress of another evaluation ({what}); {remedy}")
        part.rows, part.skipped = kept.rows, kept.skipped
        return part

    def keep(self, part: Part, *, now: bool = False) -> None:
        """Keep what there is, if it is time."""
        if now or time.monotonic() >= self._due:
            begin = time.monotonic()
            part.save(self._progress)
            took = time.monotonic() - begin
            self._due = begin + max(_SAVE_EVERY, 20 * took)  # of a million images it takes seconds

    def finish(self, part: Part) -> None:
        """Write the file, and forget the progress."""
        part.save(self.path)
        self._progress.unlink(missing_ok=True)


def images_hash(items: Sequence[Item]) -> str:
    """Return a hash of the images' names and sizes: the same on every machine that has them.

    An image whose size the source does not tell has that of the file it is in.

    Raises:
        SourceError: a host does not answer.
    """
    places = list(dict.fromkeys(item.at[0] for item in items if item.size < 0))
    threads = _THREADS if any(map(is_remote, places)) else 1
    sizes = dict(zip(places, on_threads(_size, places, threads), strict=True))
    digest = hashlib.sha256()
    for item in items:
        size = item.size if item.size >= 0 else sizes[item.at[0]]
        digest.update(f"{item.name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _size(place: str) -> int:
    """A file's size; -1 without one, and where it cannot be looked at: it will be skipped by name."""
    try:
        return describe(place)[0]
    except SourceError as problem:
        if is_remote(place) and not isinstance(problem, MissingError):
            raise
        return -1


def text_hash(document: Any) -> str:
    """Return a hash of plain JSON data."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
