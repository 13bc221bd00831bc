"""Shards of a list of images: `3/8` is every eighth image, beginning with the third."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..errors import PackageError

__all__ = ["WHOLE", "Shard", "joined", "missing", "overlap"]

_MOST_NAMED = 4096


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """The images at `number - 1`, `number - 1 + of`, ... of a list; `1/1` is all of it."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `3/8`.

        Raises:
            PackageError: it is not two whole numbers `i/n` with `1 <= i <= n`.
        """
        match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
        if match is None:
            raise PackageError(f"{text!r} is not a shard; write --shard 3/8 for the third of eight parts")
        number, of = int(match[1]), int(match[2])
        if not 1 <= number <= of:
            known = f"with {of} shards, write 1/{of} to {of}/{of}" if of else "there is at least 1"
            raise PackageError(f"there is not a shard {number}/{of}; {known}")
        return cls(of, number)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def take(self, count: int) -> range:
        """Return the places of this shard's images in a list of `count`."""
        return range(self.number - 1, count, self.of)


WHOLE = Shard(1, 1)


def overlap(one: Shard, other: Shard) -> bool:
    """Tell whether a long enough list has an image in both (the Chinese remainder theorem)."""
    return (one.number - other.number) % math.gcd(one.of, other.of) == 0


def missing(shards: Sequence[Shard]) -> list[Shard]:
    """What completes shards that do not overlap, smallest parts last; empty if they cover every image."""
    if sum((Fraction(1, shard.of) for shard in shards), Fraction(0)) == 1:
        return []
    of = math.lcm(*(shard.of for shard in shards))
    covered = {n for shard in shards for n in range(shard.number, min(of, _MOST_NAMED) + 1, shard.of)}
    return [Shard(of, n) for n in range(1, min(of, _MOST_NAMED) + 1) if n not in covered]


def joined(shards: Iterable[Shard]) -> tuple[Shard, ...]:
    """Return the same images, written the same way whatever the order; `1/1` once all are there."""
    every = sorted(shards)
    return tuple(every) if missing(every) else (WHOLE,)
