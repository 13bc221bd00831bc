"""The benchmark of a server: requests of encoded images over HTTP, each stream on a connection of its own.

In a closed loop a stream sends its next request when it has its answer. At a `rate` requests wait here for a
connection that is free, from when they were due; those that find `queue_size` others waiting are not sent.
"""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import PackageError
from ..inference.cpu import peak_memory_mb
from ..support.arrays import U8Array
from .client import ANSWERED, EXPIRED, REFUSED, Client
from .job import Job, Measurement
from .load import open_load
from .threads import in_threads

__all__ = ["measure_served", "prepare_served"]

_RANDOM_IMAGES = 4
_PAUSE = 0.01
"""Seconds until the next request of a closed loop after one that failed, so that it does not spin."""


class _Images:
    """The encoded images of each request: random ones, made once, or the listed files in turn."""

    def __init__(self, job: Job) -> None:
        self._batch = job.batch_size
        self._files = job.files
        random = np.random.default_rng(0)
        _, height, width = job.shape
        self._random = [
            _jpeg(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
            for _ in range(0 if job.files else _RANDOM_IMAGES)
        ]

    def of(self, request: int) -> list[bytes]:
        """Return the images of a request; numbers begin at 0 and wrap around the files."""
        numbers = range(request * self._batch, (request + 1) * self._batch)
        if self._random:
            return [self._random[number % len(self._random)] for number in numbers]
        return [_read(self._files[number % len(self._files)]) for number in numbers]


def prepare_served(job: Job) -> tuple[list[Client], Measurement]:
    """Connect each stream, and warm the server up: `warmup` requests a stream, not counted.

    Raises:
        PackageError: no such server or model, or one that does not take encoded images.
    """
    assert job.server is not None
    images = _Images(job)
    clients = [Client(job.server)]
    try:
        clients[0].find_input()
        clients[0].check(images.of(0))
        clients += [clients[0].another() for _ in range(job.instances - 1)]
        free = list(clients)
        stop = threading.Event()

        def warm() -> None:
            client = free.pop()
            for number in range(job.warmup):
                if not stop.is_set():
                    client.infer(images.of(number))

        in_threads(stop, job.instances, warm)
    except BaseException:
        _close(clients)
        raise
    return clients, Measurement()


def measure_served(job: Job, clients: list[Client], result: Measurement) -> Measurement:
    """Run the measured requests, fill in `result`, and close the connections."""
    images = _Images(job)
    lock = threading.Lock()
    stop = threading.Event()
    free = list(clients)
    result.start = time.monotonic()
    load = open_load(job, stop)

    def stream() -> None:
        client = free.pop()
        for number, since in load.take():
            outcome = client.infer(images.of(number))
            took = time.monotonic() - since
            with lock:
                _count(result, outcome, took)
            if job.rate is None and outcome != ANSWERED:
                time.sleep(_PAUSE)

    try:
        in_threads(stop, job.instances, stream, load.fill)
    finally:
        _close(clients)
    result.end = time.monotonic()
    result.unsent = load.refused
    result.memory_mb = peak_memory_mb()
    return result


def _close(clients: list[Client]) -> None:
    for client in clients:
        client.close()


def _count(result: Measurement, outcome: str, took: float) -> None:
    if outcome == ANSWERED:
        result.latencies.append(took)
    elif outcome == REFUSED:
        result.refused += 1
    elif outcome == EXPIRED:
        result.expired += 1
    else:
        result.errors[outcome] = result.errors.get(outcome, 0) + 1


def _jpeg(pixels: U8Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise PackageError(f"{name}: cannot be read ({error.strerror})") from None
