"""Work in shards, wherever it runs: the one seam between what is computed and the machines that compute it.

A job is sent once to each place where it runs, and opened there; it then maps shards to results. `Here` is
this process, `ray_workers.RayWorkers` a cluster. Results come in any order, each shard's exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

__all__ = ["HERE", "Here", "Job", "Workers", "cut", "in_order"]

T = TypeVar("T")
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[S_contra, R_co]):
    """What is to be done with each shard; it can be pickled, and so can shards and results."""

    def open(self) -> Callable[[S_contra], R_co]:
        """Load what the job needs, once for many shards, and return what does a shard.

        Done again, a shard gives the same result: a worker may die before it has told.
        """


class Workers(Protocol):
    """Where jobs run."""

    def map(self, job: Job[S, R], shards: Iterable[S]) -> Iterator[tuple[int, R]]:
        """Yield each shard's place and result, in any order; raise what the job raised.

        Shards are taken from `shards` as workers become free. Memory is bounded: a shard is not begun while
        one that is far before it is unfinished.
        """


class Here:
    """This process, a shard after the other; a job's own threads are its own business."""

    def map(self, job: Job[S, R], shards: Iterable[S]) -> Iterator[tuple[int, R]]:
        """See `Workers`."""
        work = job.open()
        for place, shard in enumerate(shards):
            yield place, work(shard)


HERE = Here()


def in_order(results: Iterable[tuple[int, R]]) -> Iterator[R]:
    """Yield the results of `Workers.map` in the order of their shards, each once those before it are."""
    waiting: dict[int, R] = {}
    wanted = 0
    for place, result in results:
        waiting[place] = result
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted += 1


def cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in shards of `size`, the last with what is left."""
    return (items[start : start + size] for start in range(0, len(items), size))
