"""A body in an engine as a package runs it, timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import onnx

from zooc.ir.interface import input_of
from zooc.verification.speed import random_feed
from zooc_runtime.inference.engines import open_body
from zooc_runtime.inference.settings import default_settings

__all__ = ["CLOCKS", "Runner", "seconds_of"]

_SHORTEST = 0.004
"""Seconds that a clock should see at once: shorter runs are repeated."""

_MOST_RUNS = 256


class Runner:
    """A body that runs as `load(hint=...)` of a package would run it.

    Attributes:
        repeats: how many runs are timed at once, in each stream.
    """

    def __init__(
        self,
        body: onnx.ModelProto,
        engine: str,
        goal: str,
        cores: int,
        streams: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Open it; what is not given follows from the goal.

        Raises:
            PackageError: the engine is missing or refuses the body.
        """
        source = input_of(body)
        settings = default_settings(engine, cores, goal, streams, threads, batch=source.batch)
        self._stage = open_body(body.SerializeToString(), settings, keep=False)
        self._feed = random_feed(body)[source.name]
        self._pool = ThreadPoolExecutor(settings.streams) if settings.streams > 1 else None
        self._streams = settings.streams
        self.repeats = 1
        self.run()
        start = time.perf_counter()
        self.run()
        taken = time.perf_counter() - start
        self.repeats = max(1, min(_MOST_RUNS, round(_SHORTEST / max(taken, 1e-6))))

    def run(self) -> None:
        """Run it `repeats` times, in each stream."""
        if self._pool is None:
            self._many()
        else:
            list(self._pool.map(lambda _: self._many(), range(self._streams)))

    def _many(self) -> None:
        for _ in range(self.repeats):
            self._stage.run(self._feed)


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""What tells seconds: all that pass, or those that this process computes, of all its threads."""


def seconds_of(runner: Runner, clock: str) -> float:
    """Return a run's seconds, by one of `CLOCKS`."""
    now = CLOCKS[clock]
    start = now()
    runner.run()
    return (now() - start) / runner.repeats
