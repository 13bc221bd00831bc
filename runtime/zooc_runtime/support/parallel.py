"""Work spread over threads, results in order: for decoding and file work, which free the interpreter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield `work(item)` for each item, in the items' order; a few are worked on ahead of the reader.

    Memory is bounded: at most `4 * workers` results wait. What `work` raises is raised here, at its item.
    After that, after Ctrl-C, or when the reader stops, no further item is begun, and those begun are awaited.

    Args:
        work: called in other threads.
        items: read in the calling thread.
        workers: threads; with 1 the work is done in the calling thread.
    """
    if workers == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
