"""Threads that work side by side until all have ended, whatever ends them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import PackageError

__all__ = ["in_threads"]


def in_threads(
    stop: threading.Event, count: int, work: Callable[[], None], beside: Callable[[], None] | None = None
) -> None:
    """Run `work` in `count` threads and `beside` in one; raise the first error that one of them met.

    After an error or Ctrl-C `stop` is set and the threads are awaited: the interpreter must not end while
    one is in an engine.

    Raises:
        PackageError: the system starts no more threads.
    """
    errors: list[BaseException] = []
    jobs = [work] * count + ([beside] if beside else [])
    # Not Thread.join: once interrupted, it takes the thread for ended (Python < 3.13).
    running: set[int] = set()
    ended = threading.Semaphore(0)

    def run(index: int) -> None:
        try:
            jobs[index]()
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            running.discard(index)
            ended.release()

    try:
        for index in range(len(jobs)):
            thread = threading.Thread(target=run, args=(index,))
            running.add(index)
            try:
                thread.start()
            except RuntimeError:
                running.discard(index)
                raise PackageError("no more threads can be started; lower --instance") from None
        while running:
            ended.acquire(timeout=1)
    except BaseException:
        stop.set()
        while running:
            ended.acquire(timeout=1)
        raise
    if errors:
        raise errors[0]
