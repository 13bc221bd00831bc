"""The last few results of a costly reading, each made once however many threads ask for it at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["Kept"]

R = TypeVar("R")


class Kept(Generic[R]):
    """At most `most` results by key; the one not asked for the longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Future[R]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], R]) -> R:
        """Return what is kept for `key`, or make it; what `make` raises is raised, and not kept."""
        with self._lock:
            known = self._results.get(key)
            future = known if known is not None else Future()
            self._results[key] = future
            self._results.move_to_end(key)
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        if known is not None:
            return known.result()
        try:
            future.set_result(make())
        except BaseException as failure:
            with self._lock:
                if self._results.get(key) is future:
                    del self._results[key]
            future.set_exception(failure)
            raise
        return future.result()
