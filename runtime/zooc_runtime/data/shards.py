"""What tar shards, zip archives and tables have in common: several files under one name, each with a table.

A table tells where each image lies in its file. It is read once a process, the tables of the last few files
are kept, and nothing is ever unpacked to a disk. Names in archives are names alone: no file is made of them,
so that `../` in one leads nowhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ..errors import SourceError
from . import files
from .kept import Kept
from .place import is_remote, shown
from .source import ImageSource, Item, has_suffix, parent_of
from .threads import on_threads

__all__ = ["Member", "Shards", "Table"]

_THREADS = 4


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, or a row of a table; `at` is where, as the kind of archive has it."""

    name: str
    at: tuple[int, ...]
    size: int = -1
    label: str | None = None


Table = tuple[Member, ...]

_tables: Kept[Table] = Kept(64)


@dataclass(frozen=True)
class Shards(ImageSource):
    """One archive or several.

    Attributes:
        shards: their places, in order.
        where: the place as it was written, fit to be shown.
        suffix: only images of this suffix.
    """

    shards: tuple[str, ...] = field(repr=False)
    where: str = ""
    suffix: str | None = None
    kind: ClassVar[str] = "archive"

    @property
    def remote(self) -> bool:  # type: ignore[override]
        """Whether they are at an address."""
        return is_remote(self.shards[0])

    @abstractmethod
    def table(self, shard: str) -> Table:
        """Return what is in a shard, in its order.

        Raises:
            SourceError: it cannot be read, or is damaged.
        """

    def items(self) -> Iterator[Item]:
        """Yield the images of one shard after the other; of several, names begin with the shard's."""
        threads = _THREADS if self.remote and len(self.shards) > 1 else 1
        for shard, (stamp, table) in zip(
            self.shards, on_threads(self._kept_table, self.shards, threads, ahead=1), strict=True
        ):
            prefix = f"{shown(shard).rpartition('/')[2]}/" if len(self.shards) > 1 else ""
            for member in table:
                if not self.is_image(member):
                    continue
                yield Item(
                    prefix + member.name,
                    (shard, *member.at, member.name),
                    member.size,
                    f"{stamp} {member.at}" if stamp else "",
                    parent_of(member.name),
                    member.label,
                )

    @property
    def key(self) -> Hashable:
        """What a table depends on beside its file."""
        return self.kind

    def is_image(self, member: Member) -> bool:
        """Tell whether a member is one of the images asked for."""
        return has_suffix(member.name, self.suffix)

    def reader_of(self, item: Item) -> Shards:
        """Return the item's own shard; the list of all may be long."""
        return replace(self, shards=(item.at[0],))

    def title(self, item: Item) -> str:
        """Return the shard's place and the name in it."""
        return f"{shown(item.at[0])}/{item.at[-1]}"

    def suffixes(self) -> Counter[str]:
        """Return how many members of each suffix the first shard has."""
        _, table = self._kept_table(self.shards[0])
        return Counter(member.name.rpartition("/")[2].rpartition(".")[2].lower() for member in table)

    def _kept_table(self, shard: str) -> tuple[str, Table]:
        size, stamp = files.describe(shard)
        if size == 0:
            raise SourceError(f"{shown(shard)}: is empty; fetch or make the {self.kind} again")
        return stamp, _tables.get((self.key, shard, size, stamp), lambda: self.table(shard))
