"""Where requests come from: a stream's next when it is free, a queue kept full, or arrivals at set times.

Arrivals are an open loop: when a request is sent does not depend on when others are answered, and its latency
begins when it was due. A closed loop sends nothing while it waits for a slow answer, and so leaves out the
requests that would have met the delay ("coordinated omission": Gil Tene, "How NOT to Measure Latency").
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Protocol

from .job import Job, Requests

__all__ = ["Arrivals", "Load", "arrivals", "open_load", "schedule"]


class Load(Protocol):
    """The requests of one process, taken by its streams.

    Attributes:
        refused: how many were turned away because as many as allowed were on their way.
    """

    refused: int

    def take(self) -> Iterator[tuple[int, float]]:
        """Yield numbers of requests, each with the monotonic time at which its latency begins."""

    def fill(self) -> None:
        """Make all requests; runs in a thread of its own."""


def open_load(job: Job, stop: threading.Event) -> Load:
    """Return the load that the job asks for; it begins now and ends when `stop` is set."""
    if job.rate is not None:
        return Arrivals(job, stop, job.instances + job.queue_size)
    requests = Requests(job, stop)
    return _Queue(requests, job.queue_size, stop) if job.queue_size else _Loop(requests)


def schedule(job: Job) -> Iterator[float]:
    """Yield the seconds from the start at which the job's requests are due: a Poisson process of its rate.

    The times between two are exponential with the mean `1 / rate`. Equal seeds give equal times; at another
    rate the same times, stretched.
    """
    assert job.rate is not None
    random = Random(job.seed)  # noqa: S311 - times, no secrets
    due = 0.0
    for _ in range(job.iterations) if job.duration is None else itertools.count():
        due -= math.log(1 - random.random()) / job.rate
        if job.duration is not None and due >= job.duration:
            return
        yield due


def arrivals(job: Job, stop: threading.Event) -> Iterator[tuple[int, float]]:
    """Yield each request's number and when it was due, as soon as it is; `duration` is waited for."""
    start = time.monotonic()
    for number, after in enumerate(schedule(job)):
        if stop.wait(max(start + after - time.monotonic(), 0)):
            return
        yield number, start + after
    if job.duration is not None:
        stop.wait(max(start + job.duration - time.monotonic(), 0))


class _Loop:
    """Closed: a stream's next request is due when it has its answer."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.refused = 0

    def take(self) -> Iterator[tuple[int, float]]:
        return ((number, time.monotonic()) for number in self._requests)

    def fill(self) -> None:
        """Streams make their requests themselves."""


class _Waiting:
    """Requests that wait for a stream, first come first served; given up once `stop` is set."""

    def __init__(self, places: int, stop: threading.Event) -> None:
        self.refused = 0
        self._stop = stop
        self._places = threading.Semaphore(places)
        self._filled = threading.Semaphore(0)
        self._items: deque[tuple[int, float]] = deque()

    def _put(self, number: int, since: float) -> None:
        self._items.append((number, since))
        self._filled.release()

    def _end(self) -> None:
        self._filled.release()

    def _pop(self) -> Iterator[tuple[int, float]]:
        while True:
            self._filled.acquire()
            item = None
            with contextlib.suppress(IndexError):  # none is left
                item = self._items.popleft()
            if item is None or self._stop.is_set():
                self._filled.release()  # wakes the next stream, which ends likewise
                return
            yield item


class _Queue(_Waiting):
    """Closed: kept full; a request's latency begins when a place in the queue has been found for it."""

    def __init__(self, requests: Requests, size: int, stop: threading.Event) -> None:
        super().__init__(size, stop)
        self._requests = requests

    def fill(self) -> None:
        """Submit all requests, as places become free."""
        for number in self._requests:
            while not self._places.acquire(timeout=0.1) and not self._stop.is_set():
                pass  # a stream that has failed frees no more places
            self._put(number, time.monotonic())
        self._end()

    def take(self) -> Iterator[tuple[int, float]]:
        for item in self._pop():
            self._places.release()
            yield item


class Arrivals(_Waiting):
    """Open: requests as they are due; whatever comes while all `places` are taken is refused."""

    def __init__(self, job: Job, stop: threading.Event, places: int) -> None:
        super().__init__(places, stop)
        self._job = job

    def fill(self) -> None:
        """Submit or refuse each request when it is due."""
        try:
            for number, due in arrivals(self._job, self._stop):
                if self._places.acquire(blocking=False):
                    self._put(number, due)
                else:
                    self.refused += 1
        finally:
            self._end()

    def take(self) -> Iterator[tuple[int, float]]:
        """Yield requests; a stream that asks for its next one has answered its last, whose place is free."""
        for item in self._pop():
            yield item
            self._places.release()
