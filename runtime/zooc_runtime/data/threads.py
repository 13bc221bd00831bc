"""Work on threads that nobody has to wait for: a host that does not answer must not delay the end."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from ..errors import SourceError

__all__ = ["Threads", "on_threads"]

T = TypeVar("T")
R = TypeVar("R")


class Threads(Generic[R]):
    """A few threads that take work in order. They are daemons: Python's own pool is awaited at exit."""

    def __init__(self, count: int) -> None:
        self._work: queue.SimpleQueue[tuple[Future[R], Callable[[], R]] | None] = queue.SimpleQueue()
        self._open: set[Future[R]] = set()
        self._lock = threading.Lock()
        self._threads = count
        self._started = 0

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Queue a piece of work."""
        future: Future[R] = Future()
        with self._lock:
            self._open.add(future)
        if self._started < self._threads:
            threading.Thread(target=self._run, name="zooc-read", daemon=True).start()
            self._started += 1
        self._work.put((future, work))
        return future

    def stop(self) -> None:
        """Fail whatever is not done, begun or not; whoever waits for it goes on at once."""
        with self._lock:
            left, self._open = self._open, set()
        for future in left:
            with suppress(InvalidStateError):
                future.set_exception(SourceError("reading was stopped"))
        for _ in range(self._started):
            self._work.put(None)

    def _run(self) -> None:
        while (piece := self._work.get()) is not None:
            future, work = piece
            if not future.done():
                _settle(future, work)
            with self._lock:
                self._open.discard(future)
            del piece, future, work


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as failure:  # handed to whoever waits
        with suppress(InvalidStateError):
            future.set_exception(failure)
    else:
        with suppress(InvalidStateError):
            future.set_result(result)


def on_threads(work: Callable[[T], R], items: Iterable[T], count: int, ahead: int = 4) -> Iterator[R]:
    """Yield `work(item)` in the items' order, at most `ahead * count` of them waiting for the reader.

    With a `count` of 1 the work is done in the calling thread. What `work` raises is raised here, at its
    item; nobody waits for what was begun beyond.
    """
    if count == 1:
        yield from map(work, items)
        return
    threads: Threads[R] = Threads(count)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(lambda item=item: work(item)))  # type: ignore[misc]
            if len(waiting) >= ahead * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.stop()
