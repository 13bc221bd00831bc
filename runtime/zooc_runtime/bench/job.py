"""What a process of the benchmark shall do, the numbers of its requests, and what it measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..inference.placement import DEFAULT, Placement

__all__ = ["STAGES", "Job", "Measurement", "Mode", "Requests", "Server"]

STAGES = ("decode", "prelude", "body", "postlude")
Mode = Literal["images", "network_only", "end_to_end", "served"]
"""What a request is: decoded images through all stages, a tensor through the body, an image file, or encoded
images to a server."""


@dataclass(frozen=True)
class Server:
    """A server of the Open Inference Protocol: its `url`, the `model` to ask, seconds until `timeout`."""

    url: str
    model: str
    timeout: float


@dataclass(frozen=True)
class Job:
    """What one process shall do; plain data, because it travels to a spawned process.

    `duration` in seconds, or `None`: then `iterations` requests are made. `shape` is `[3, h, w]`. `files` are
    npz files or, end to end and to a server, image files. `rate` is the requests that arrive in a second, at
    times that `seed` determines; `None`: a request follows upon an answer.
    """

    directory: Path
    mode: Mode
    engine: str
    threads: int
    instances: int
    batch_size: int
    shape: tuple[int, int, int]
    iterations: int
    warmup: int
    duration: float | None
    queue_size: int
    vdsp_params: str | None
    files: tuple[str, ...]
    placement: Placement = DEFAULT
    rate: float | None = None
    seed: str = ""
    server: Server | None = None

    @property
    def images_a_request(self) -> int:
        """End to end, batches form of single images."""
        return 1 if self.mode == "end_to_end" else self.batch_size


@dataclass
class Measurement:
    """What one process measured: times in seconds, `start` and `end` on the machine-wide monotonic clock.

    `latencies` are those of the requests that were answered. The others were `refused` for lack of a place,
    had `expired` when their turn came, were never sent (`unsent`) because all connections to the server were
    busy for too long, or failed, which `errors` counts by kind.
    """

    load: float = 0.0
    start: float = 0.0
    end: float = 0.0
    latencies: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    memory_mb: float = 0.0
    engine: str = ""
    runs_on: dict[str, int | None] = field(default_factory=dict)
    refused: int = 0
    expired: int = 0
    unsent: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class Requests:
    """The numbers of the requests, shared by the streams; ends after `iterations` or after `duration`."""

    def __init__(self, job: Job, stop: threading.Event | None = None) -> None:
        self._job = job
        self._stop = stop or threading.Event()
        self._next = 0
        self._lock = threading.Lock()
        self._deadline = None if job.duration is None else time.monotonic() + job.duration

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._lock:
                number = self._next
                over = number >= self._job.iterations if self._deadline is None else self._late()
                if over or self._stop.is_set():
                    return
                self._next += 1
            yield number

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline and self._next > 0
